"""How sources look in the API: the fields of ``SourceStatus``, partitions and quarantine groups.

What each means stands at the values themselves, in ``monitoring.source_status`` and ``quarantine``.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerExtension
from rest_framework import serializers

from ingestion.monitoring.source_status import SourceState
from ingestion.services.resets import Where
from tenants.rest.body import BodySerializer
from tenants.rest.fields import Flag, Text, Whole


class SourceSerializer(serializers.Serializer[Any]):
    """Of a ``SourceStatus``. Times are in seconds, rates a second, over the last five minutes."""

    name = serializers.CharField(source="source")
    kind = serializers.ChoiceField(["kafka", "rabbitmq", "http"])
    table = serializers.CharField()
    state = serializers.ChoiceField([str(one) for one in SourceState])
    paused_reason = serializers.CharField(help_text="Why Millrace itself paused it, if it did.")
    lag = serializers.IntegerField(help_text="Messages that wait at the broker.")
    lag_seconds = serializers.FloatField(
        allow_null=True, help_text="For how long at the most the oldest of them has waited."
    )
    freshness_seconds = serializers.FloatField(
        allow_null=True, help_text="Age of the newest event in the table."
    )
    freshness_p50 = serializers.FloatField(
        allow_null=True, help_text="How old half of the events were at most when they landed."
    )
    freshness_p95 = serializers.FloatField(allow_null=True, help_text="The same of 95 of 100.")
    events_per_second = serializers.FloatField()
    bytes_per_second = serializers.FloatField()
    landed = serializers.IntegerField(help_text="Rows in the table, since the beginning.")
    quarantined = serializers.IntegerField()
    lost = serializers.IntegerField(
        help_text="Messages that the broker deleted before it was their turn."
    )
    unidentified = serializers.IntegerField(
        help_text="Messages of a RabbitMQ queue without a message_id: a redelivered one of them "
        "can be doubled."
    )
    last_landed_at = serializers.DateTimeField(allow_null=True)
    last_error = serializers.CharField(help_text="What broke last, also when it was overcome.")
    error_at = serializers.DateTimeField(allow_null=True)
    retry_at = serializers.DateTimeField(allow_null=True, help_text="Set while it is failing.")


class TakenSerializer(serializers.Serializer[Any]):
    """Events that are safe."""

    accepted = serializers.IntegerField()
    first_offset = serializers.IntegerField()
    last_offset = serializers.IntegerField()
    queryable = serializers.BooleanField(help_text="All of them are known to be in the table.")


class RefusedSerializer(serializers.Serializer[Any]):
    """Of a ``quarantine.Place``."""

    line = serializers.IntegerField(help_text="In NDJSON; in an array the element. From 1.")
    offset = serializers.IntegerField()
    reason = serializers.CharField()
    column = serializers.CharField(allow_blank=True)
    expected = serializers.CharField(allow_blank=True)
    value = serializers.CharField(allow_blank=True, help_text="Its first 2,000 bytes.")


class SettledSerializer(TakenSerializer):
    """Events of which each is in the table or in quarantine."""

    landed = serializers.IntegerField(help_text="In the table: they can be queried.")
    quarantined = serializers.IntegerField(help_text="They did not fit the table.")
    quarantine = RefusedSerializer(many=True, help_text="The first hundred of those.")


class ResetRequestSerializer(BodySerializer):
    """Where a source is to go on."""

    to = serializers.ChoiceField([str(one) for one in Where])
    offset = Whole(required=False, min_value=0, help_text="With to=offset.")
    time = serializers.DateTimeField(required=False, help_text="With to=time.")
    partition = Whole(
        required=False, min_value=0, help_text="Only this one; needed with to=offset."
    )
    doubles = Flag(default=False, help_text="Insert again also what is in the table.")
    confirm = Flag(
        default=False, help_text="Do it. Otherwise only show what would be read again or skipped."
    )
    preview = Flag(default=False, help_text="Only show it, whatever `confirm` says.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        for name in ("offset", "time"):
            if attrs["to"] == name and name not in attrs:
                raise serializers.ValidationError({name: f"Needed with to={name}."})
        return attrs


class _ResetRequestDescribed(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """What ``validate`` asks for, as a schema says it."""

    target_class = ResetRequestSerializer

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        schema: dict[str, Any] = auto_schema._map_serializer(  # noqa: SLF001 - drf-spectacular's way
            self.target, direction, bypass_extensions=True
        )
        return schema | {
            "additionalProperties": False,
            "anyOf": [
                # Patterns, as drf-spectacular puts the whole list of values for any enum of it.
                {"properties": {"to": {"pattern": "^(start|end)$"}}},
                {"properties": {"to": {"pattern": "^offset$"}}, "required": ["offset"]},
                {"properties": {"to": {"pattern": "^time$"}}, "required": ["time"]},
            ],
        }


class MoveSerializer(serializers.Serializer[Any]):
    """Of a ``Move``: offsets, of which not every one need hold a message."""

    partition = serializers.IntegerField(source="number")
    position = serializers.IntegerField(allow_null=True)
    to = serializers.IntegerField()
    low_watermark = serializers.IntegerField(source="low")
    high_watermark = serializers.IntegerField(source="high")
    read_again = serializers.IntegerField()
    skipped = serializers.IntegerField()


class ResetSerializer(serializers.Serializer[Any]):
    done = serializers.BooleanField(help_text="False: it was a preview.")
    partitions = MoveSerializer(many=True)


class SourcesSerializer(serializers.Serializer[Any]):
    sources = SourceSerializer(many=True)


class PartitionSerializer(serializers.Serializer[Any]):
    """Of a ``StreamPartition``."""

    number = serializers.IntegerField()
    position = serializers.IntegerField(
        allow_null=True, help_text="Offset of the next message to land."
    )
    low_watermark = serializers.IntegerField(help_text="Oldest offset that the broker has.")
    high_watermark = serializers.IntegerField(help_text="Offset of the next new message.")
    measured_at = serializers.DateTimeField(allow_null=True)
    lag = serializers.IntegerField()
    landed = serializers.IntegerField()
    quarantined = serializers.IntegerField()
    lost = serializers.IntegerField()
    unidentified = serializers.IntegerField()
    last_event_at = serializers.DateTimeField(allow_null=True)
    last_landed_at = serializers.DateTimeField(allow_null=True)


class SourceDetailSerializer(SourceSerializer):
    quarantine_limit = serializers.IntegerField(
        help_text="Per cent of misfits beyond which it is paused; 0: never."
    )
    partitions = PartitionSerializer(many=True)


class ExampleSerializer(serializers.Serializer[Any]):
    """The newest message of a group, cut to 2,000 bytes."""

    value = serializers.CharField()
    raw = serializers.CharField()
    partition = serializers.IntegerField()
    offset = serializers.IntegerField()


class GroupSerializer(serializers.Serializer[Any]):
    """Of a ``quarantine.Group``."""

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
        help_text="Days for which messages that did not fit are kept."
    )
    groups = GroupSerializer(many=True)


# --- Deleting and archiving ---------------------------------------------------------------------


class ArchiveRequestSerializer(BodySerializer):
    preview = Flag(default=False, help_text="Only tell what would be archived.")


class ArchiveSerializer(serializers.Serializer[Any]):
    """Of a ``removal.ArchivePreview``."""

    done = serializers.BooleanField(help_text="False: it was a preview.")
    sources = serializers.ListField(
        child=serializers.CharField(), help_text="Those that are archived now, by name."
    )
    consequences = serializers.ListField(child=serializers.CharField())


class TableRemovalRequestSerializer(BodySerializer):
    """A table goes with its rows in any case."""

    confirm = Text(
        max_length=100, allow_blank=True, default="", help_text="Its name, unless it is a preview."
    )
    preview = Flag(default=False, help_text="Only tell what would go, and what stays.")


class RemovalRequestSerializer(TableRemovalRequestSerializer):
    rows = serializers.ChoiceField(
        ["keep", "delete"],
        default="keep",
        help_text="Whether the rows that its sources landed go too, also from the quarantine.",
    )


class RowsSerializer(serializers.Serializer[Any]):
    """Of ``removal.Rows``."""

    what = serializers.CharField()
    count = serializers.IntegerField(
        allow_null=True, help_text="null: the engine does not answer, so that nobody can say."
    )


class RemovalSerializer(serializers.Serializer[Any]):
    """Of a ``removal.Preview``, as it was before anything went."""

    done = serializers.BooleanField(help_text="False: it was a preview.")
    sources = serializers.ListField(
        child=serializers.CharField(), help_text="Those that go, by name: itself, or with it."
    )
    goes = serializers.ListField(child=serializers.CharField())
    rows = RowsSerializer(many=True, help_text="What its sources have landed; of a table, all.")
    books = serializers.DictField(
        child=serializers.IntegerField(), help_text="What is kept of it in Postgres, by what it is."
    )
    stays = serializers.ListField(child=serializers.CharField())
    failing_queries = serializers.ListField(
        child=serializers.CharField(),
        help_text="Saved queries that read the table and answer with an error then; 20 at most.",
    )
    further_failing_queries = serializers.IntegerField(help_text="How many more.")
    left = serializers.ListField(
        child=serializers.CharField(), help_text="What had to be left, and what to do about it."
    )


# --- Columns that are not described -------------------------------------------------------------


class DropColumnSerializer(BodySerializer):
    column = Text(min_length=1, max_length=100)
    confirm = Text(max_length=100, allow_blank=True, default="", help_text="Its name, again.")


class KeptColumnSerializer(serializers.Serializer[Any]):
    """Of a ``KeptColumn``."""

    name = serializers.CharField()
    type = serializers.CharField()
    hindrance = serializers.CharField(
        allow_blank=True, help_text="Why it can't be dropped now; empty: it can."
    )
    failing_queries = serializers.ListField(
        child=serializers.CharField(),
        help_text="Saved queries that read the table and name the column; 20 at most.",
    )
    further_failing_queries = serializers.IntegerField(help_text="How many more.")


class KeptColumnsSerializer(serializers.Serializer[Any]):
    columns = KeptColumnSerializer(many=True)
