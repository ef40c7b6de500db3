"""Serializers of backfills that run in the background."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from ingestion.backfill.file import Format
from ingestion.backfill.gauge import QUARANTINE_LIMIT
from ingestion.backfill.places.permitted import MOST
from ingestion.backfill.uploads import MOST_NAME
from ingestion.models import RunState
from tenants.rest.body import ArgumentsSerializer, BodySerializer
from tenants.rest.fields import Text, Whole

#: The settings name this list, as they name SOURCE_STATES.
RUN_STATES = [str(state) for state in RunState]
_FORMAT: dict[str, Any] = {
    "default": "",
    "allow_blank": True,
    "help_text": "The format, if the name does not show it.",
}
_LIMIT: dict[str, Any] = {
    "default": QUARANTINE_LIMIT,
    "min_value": 0,
    "max_value": 100,
    "help_text": "Stop once more than this percentage of the rows do not fit. 0: never.",
}


def _delimiter() -> Text:
    return Text(
        max_length=3,
        allow_blank=True,
        default="",
        help_text="The character between the fields of CSV, or tab. Empty: what the header shows.",
    )


def _encoding() -> Text:
    return Text(
        max_length=40,
        allow_blank=True,
        default="",
        help_text="The encoding of CSV and JSON. Empty: by the byte order mark, otherwise UTF-8.",
    )


def _null() -> Text:
    return Text(
        max_length=100,
        allow_blank=True,
        allow_null=True,
        default=None,
        help_text="The field of CSV that is no value, such as NA, unless it is in quotes.",
    )


class BackfillRequestSerializer(BodySerializer):
    locations = serializers.ListField(
        child=Text(min_length=1, max_length=2_000),
        min_length=1,
        max_length=MOST,
        help_text="Public https:// URLs, or what the operator has opened for you; globs in those.",
    )
    format = serializers.ChoiceField([str(form) for form in Format], **_FORMAT)
    delimiter = _delimiter()
    encoding = _encoding()
    null = _null()
    quarantine_limit = Whole(**_LIMIT)


class UploadQuerySerializer(ArgumentsSerializer):
    file = Text(
        min_length=1,
        max_length=MOST_NAME,
        help_text="The file's name, which shows its format: orders.csv.gz.",
    )
    format = serializers.ChoiceField([str(form) for form in Format], **_FORMAT)
    delimiter = _delimiter()
    encoding = _encoding()
    null = _null()
    quarantine_limit = serializers.IntegerField(**_LIMIT)


class ChosenRunSerializer(BodySerializer):
    run = Whole(min_value=1, max_value=2**63 - 1, help_text="The id of the run.")


class BackfillsQuerySerializer(ArgumentsSerializer):
    run = serializers.IntegerField(
        min_value=1, max_value=2**63 - 1, default=None, help_text="Only the run of this id."
    )


class OutcomeSerializer(serializers.Serializer[Any]):
    """What became of a file that the run is done with."""

    file = serializers.CharField()
    landed = serializers.IntegerField(required=False)
    quarantined = serializers.IntegerField(required=False)
    skipped = serializers.IntegerField(
        required=False, help_text="Rows that were loaded before this run."
    )
    error = serializers.CharField(required=False, help_text="Why it was not loaded, or stopped.")


class BackfillRunSerializer(serializers.Serializer[Any]):
    """A ``BackfillRun``."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    state = serializers.ChoiceField(RUN_STATES)
    files = serializers.IntegerField(allow_null=True, help_text="null until a worker has begun.")
    file = serializers.IntegerField(help_text="Number of the present file, from 1.")
    step = serializers.CharField()
    percent = serializers.IntegerField(
        allow_null=True, help_text="How much of the step is done; null if its size is unknown."
    )
    landed = serializers.IntegerField(help_text="Rows in the table so far, by this run.")
    quarantined = serializers.IntegerField(help_text="Rows in quarantine so far, by this run.")
    skipped = serializers.IntegerField(help_text="Rows that were loaded before this run.")
    outcomes = OutcomeSerializer(many=True)
    error = serializers.CharField()
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class BackfillsSerializer(serializers.Serializer[Any]):
    runs = BackfillRunSerializer(many=True, help_text="The newest 50 runs, the newest first.")
