"""Serializers of the API: source status, partitions, quarantine, resets, deleting and archiving.

``monitoring.source_status`` and ``quarantine`` define what each value means.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerExtension
from rest_framework import serializers

from ingestion.monitoring.source_status import SourceState
from ingestion.services.resets import Where
from tenants.rest.body import BodySerializer
from tenants.rest.fields import Flag, Text, Whole

#: The settings name this list, because runs have a ``state`` too (ENUM_NAME_OVERRIDES).
SOURCE_STATES = [str(state) for state in SourceState]


class SourceSerializer(serializers.Serializer[Any]):
    """A ``SourceStatus``: times in seconds, rates per second over the last five minutes."""

    name = serializers.CharField(source="source")
    kind = serializers.ChoiceField(["kafka", "rabbitmq", "http"])
    table = serializers.CharField()
    state = serializers.ChoiceField(SOURCE_STATES)
    paused_reason = serializers.CharField(
        help_text="Why Millrace paused the source; empty if it did not."
    )
    lag = serializers.IntegerField(help_text="Messages waiting at the broker.")
    lag_seconds = serializers.FloatField(
        allow_null=True, help_text="Upper limit of how long the oldest waiting message has waited."
    )
    freshness_seconds = serializers.FloatField(
        allow_null=True, help_text="Age of the newest event in the table."
    )
    freshness_p50 = serializers.FloatField(
        allow_null=True, help_text="Median age of the events when they landed."
    )
    freshness_p95 = serializers.FloatField(
        allow_null=True, help_text="95th percentile of the age of the events when they landed."
    )
    events_per_second = serializers.FloatField()
    bytes_per_second = serializers.FloatField()
    landed = serializers.IntegerField(help_text="All rows that have landed in the table.")
    quarantined = serializers.IntegerField()
    filtered = serializers.IntegerField(help_text="Messages that the source's filter left out.")
    lost = serializers.IntegerField(
        help_text="Messages that the broker deleted before Millrace could read them."
    )
    unidentified = serializers.IntegerField(
        help_text="Messages of a RabbitMQ queue without a message_id. If RabbitMQ redelivers one, "
        "it may be inserted twice."
    )
    last_landed_at = serializers.DateTimeField(allow_null=True)
    last_error = serializers.CharField(
        help_text="The last error, kept even after the source has recovered."
    )
    error_at = serializers.DateTimeField(allow_null=True)
    retry_at = serializers.DateTimeField(
        allow_null=True, help_text="When a failing source is tried again."
    )


class TakenSerializer(serializers.Serializer[Any]):
    """Events that are stored durably."""

    accepted = serializers.IntegerField()
    first_offset = serializers.IntegerField()
    last_offset = serializers.IntegerField()
    queryable = serializers.BooleanField(
        help_text="Whether all of the events are known to be in the table."
    )


class RefusedSerializer(serializers.Serializer[Any]):
    """A ``quarantine.RefusedMessage``."""

    line = serializers.IntegerField(
        help_text="Line number in NDJSON, or number of the element in an array. From 1."
    )
    offset = serializers.IntegerField()
    reason = serializers.CharField()
    column = serializers.CharField(allow_blank=True)
    expected = serializers.CharField(allow_blank=True)
    value = serializers.CharField(allow_blank=True, help_text="The first 2,000 bytes of the value.")


class SettledSerializer(TakenSerializer):
    """Events that are each in the table or in quarantine."""

    landed = serializers.IntegerField(help_text="Events in the table, ready to be queried.")
    quarantined = serializers.IntegerField(help_text="Events that did not fit the table.")
    filtered = serializers.IntegerField(help_text="Events that the source's filter left out.")
    quarantine = RefusedSerializer(many=True, help_text="The first 100 quarantined events.")


class ResetRequestSerializer(BodySerializer):
    """Where a source is to continue."""

    to = serializers.ChoiceField([str(where) for where in Where])
    offset = Whole(
        required=False, min_value=0, help_text="The offset to continue at; needed with to=offset."
    )
    time = serializers.DateTimeField(
        required=False,
        help_text="Continue at the first message of this time or later; needed with to=time.",
    )
    partition = Whole(
        required=False,
        min_value=0,
        help_text="Reset only this partition; needed with to=offset. Default: all.",
    )
    doubles = Flag(
        default=False,
        help_text="Insert again what is already in the table, so that it is there twice.",
    )
    confirm = Flag(
        default=False,
        help_text="Do the reset. Without it, only show what would be read again or skipped.",
    )
    preview = Flag(default=False, help_text="Only show it, even if `confirm` is true.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        for name in ("offset", "time"):
            if attrs["to"] == name and name not in attrs:
                raise serializers.ValidationError({name: f"Needed with to={name}."})
        return attrs


class _ResetRequestDescribed(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """Describes in the schema what ``validate`` checks."""

    target_class = ResetRequestSerializer

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        schema: dict[str, Any] = auto_schema._map_serializer(  # noqa: SLF001 - drf-spectacular's way
            self.target, direction, bypass_extensions=True
        )
        return schema | {
            "additionalProperties": False,
            "anyOf": [
                # Patterns, because drf-spectacular replaces an enum of one with the full list.
                {"properties": {"to": {"pattern": "^(start|end)$"}}},
                {"properties": {"to": {"pattern": "^offset$"}}, "required": ["offset"]},
                {"properties": {"to": {"pattern": "^time$"}}, "required": ["time"]},
            ],
        }


class MoveSerializer(serializers.Serializer[Any]):
    """A ``Move``. It counts offsets, and not every offset holds a message."""

    partition = serializers.IntegerField(source="number")
    position = serializers.IntegerField(allow_null=True)
    to = serializers.IntegerField()
    low_watermark = serializers.IntegerField(source="low")
    high_watermark = serializers.IntegerField(source="high")
    read_again = serializers.IntegerField()
    skipped = serializers.IntegerField()


class ResetSerializer(serializers.Serializer[Any]):
    done = serializers.BooleanField(help_text="False for a preview.")
    partitions = MoveSerializer(many=True)


class SourcesSerializer(serializers.Serializer[Any]):
    sources = SourceSerializer(many=True)


class PartitionSerializer(serializers.Serializer[Any]):
    """A ``StreamPartition``."""

    number = serializers.IntegerField()
    position = serializers.IntegerField(
        allow_null=True, help_text="Offset of the next message to land."
    )
    low_watermark = serializers.IntegerField(help_text="Oldest offset at the broker.")
    high_watermark = serializers.IntegerField(help_text="Offset of the next new message.")
    measured_at = serializers.DateTimeField(allow_null=True)
    lag = serializers.IntegerField()
    landed = serializers.IntegerField()
    quarantined = serializers.IntegerField()
    filtered = serializers.IntegerField()
    lost = serializers.IntegerField()
    unidentified = serializers.IntegerField()
    last_event_at = serializers.DateTimeField(allow_null=True)
    last_landed_at = serializers.DateTimeField(allow_null=True)


class SourceDetailSerializer(SourceSerializer):
    filter = serializers.CharField(
        allow_blank=True, help_text="Which messages are kept, as an expression; empty: all."
    )
    quarantine_limit = serializers.IntegerField(
        help_text="Percentage of quarantined messages above which the source is paused; 0: never."
    )
    partitions = PartitionSerializer(many=True)


class ExampleSerializer(serializers.Serializer[Any]):
    """The newest message of a group, cut to 2,000 bytes."""

    value = serializers.CharField()
    raw = serializers.CharField()
    partition = serializers.IntegerField()
    offset = serializers.IntegerField()


class GroupSerializer(serializers.Serializer[Any]):
    """A ``quarantine.MisfitGroup``."""

    reason = serializers.CharField()
    column = serializers.CharField()
    expected = serializers.CharField()
    messages = serializers.IntegerField()
    first_seen = serializers.DateTimeField()
    last_seen = serializers.DateTimeField()
    example = ExampleSerializer(source="*")


class QuarantineSerializer(serializers.Serializer[Any]):
    table = serializers.CharField()
    quarantine_days = serializers.IntegerField(
        help_text="For how many days messages that did not fit are kept."
    )
    groups = GroupSerializer(many=True)


# --- Deleting and archiving ---------------------------------------------------------------------


class ArchiveRequestSerializer(BodySerializer):
    preview = Flag(default=False, help_text="Only show what would be archived.")


class ArchiveSerializer(serializers.Serializer[Any]):
    """A ``removal.ArchivePreview``."""

    done = serializers.BooleanField(help_text="False for a preview.")
    sources = serializers.ListField(
        child=serializers.CharField(), help_text="Names of the sources that are archived by this."
    )
    consequences = serializers.ListField(child=serializers.CharField())


class TableRemovalRequestSerializer(BodySerializer):
    """A table is always deleted with its rows."""

    confirm = Text(
        max_length=100,
        allow_blank=True,
        default="",
        help_text="The object's name, as a confirmation; not needed for a preview.",
    )
    preview = Flag(default=False, help_text="Only show what would be deleted and what stays.")


class RemovalRequestSerializer(TableRemovalRequestSerializer):
    rows = serializers.ChoiceField(
        ["keep", "delete"],
        default="keep",
        help_text="Whether to delete the rows that the sources landed, including those in the "
        "quarantine.",
    )


class RowsSerializer(serializers.Serializer[Any]):
    """A ``removal.LandedRows``."""

    what = serializers.CharField()
    count = serializers.IntegerField(
        allow_null=True, help_text="null if ClickHouse does not answer."
    )


class RemovalSerializer(serializers.Serializer[Any]):
    """A ``removal.Preview``, taken before anything was deleted."""

    done = serializers.BooleanField(help_text="False for a preview.")
    sources = serializers.ListField(
        child=serializers.CharField(), help_text="Names of the sources that are deleted by this."
    )
    goes = serializers.ListField(child=serializers.CharField())
    rows = RowsSerializer(
        many=True, help_text="Rows that the sources landed; for a table, all of its rows."
    )
    books = serializers.DictField(
        child=serializers.IntegerField(), help_text="Number of its records in Postgres, by kind."
    )
    stays = serializers.ListField(child=serializers.CharField())
    failing_queries = serializers.ListField(
        child=serializers.CharField(),
        help_text="Saved queries that read the table and will fail; 20 at most.",
    )
    further_failing_queries = serializers.IntegerField(
        help_text="How many more saved queries will fail."
    )
    left = serializers.ListField(
        child=serializers.CharField(),
        help_text="What could not be deleted, and what to do about it.",
    )


# --- Kept columns -------------------------------------------------------------------------------


class DropColumnSerializer(BodySerializer):
    column = Text(min_length=1, max_length=100)
    confirm = Text(
        max_length=100,
        allow_blank=True,
        default="",
        help_text="The column's name again, as a confirmation.",
    )


class KeptColumnSerializer(serializers.Serializer[Any]):
    """A ``KeptColumn``."""

    name = serializers.CharField()
    type = serializers.CharField()
    hindrance = serializers.CharField(
        allow_blank=True, help_text="Why it can't be dropped now; empty if it can."
    )
    failing_queries = serializers.ListField(
        child=serializers.CharField(),
        help_text="Saved queries that read the table and name the column; 20 at most.",
    )
    further_failing_queries = serializers.IntegerField(
        help_text="How many more saved queries name it."
    )


class KeptColumnsSerializer(serializers.Serializer[Any]):
    columns = KeptColumnSerializer(many=True)
