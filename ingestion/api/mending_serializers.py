"""Serializers of dry runs, replays and discards of what is in quarantine."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from ingestion.models import QuarantineAction, RunState
from ingestion.quarantine.repair import MOST
from ingestion.services.quarantine_runs import MOST_NOTE
from tenants.rest.body import ArgumentsSerializer, BodySerializer
from tenants.rest.fields import Flag, Text


def _reason() -> Text:
    return Text(
        max_length=100,
        allow_blank=True,
        default="",
        help_text="Only messages of this reason. Empty: of any.",
    )


def _column() -> Text:
    return Text(
        max_length=63,
        allow_blank=True,
        allow_null=True,
        default=None,
        help_text="Only messages that did not fit this column. Empty: messages that have none, "
        "because they are not JSON. Without it: of any.",
    )


class ReplayRequestSerializer(BodySerializer):
    reason = _reason()
    column = _column()
    repair = Text(
        max_length=MOST,
        allow_blank=True,
        default="",
        help_text="A ClickHouse expression over raw that gives a message's new text. Empty: the "
        "message as it was sent.",
    )
    dry_run = Flag(default=False, help_text="Only say what would fit; change nothing.")


class DiscardRequestSerializer(BodySerializer):
    reason = _reason()
    column = _column()
    note = Text(
        max_length=MOST_NOTE,
        allow_blank=True,
        default="",
        help_text="Why the messages are discarded; not needed for a preview.",
    )
    preview = Flag(default=False, help_text="Only count the messages; change nothing.")


class DownloadQuerySerializer(ArgumentsSerializer):
    reason = _reason()
    column = _column()


class RunSerializer(serializers.Serializer[Any]):
    """A ``QuarantineRun``."""

    id = serializers.IntegerField()
    action = serializers.ChoiceField(QuarantineAction.values)
    reason = serializers.CharField()
    column = serializers.CharField(allow_null=True)
    repair = serializers.CharField()
    note = serializers.CharField()
    state = serializers.ChoiceField(RunState.values)
    percent = serializers.IntegerField(help_text="How much of the selection is done.")
    total = serializers.IntegerField(help_text="Messages selected when it began.")
    moved = serializers.IntegerField(help_text="Messages replayed or discarded so far.")
    unfit = serializers.IntegerField(help_text="Messages that still do not fit.")
    skipped = serializers.IntegerField(help_text="Messages whose batch was not settled yet.")
    error = serializers.CharField()
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class RunsSerializer(serializers.Serializer[Any]):
    runs = RunSerializer(many=True, help_text="The newest 50 runs, the newest first.")


class BeforeAndAfterSerializer(serializers.Serializer[Any]):
    """A message, cut to 2,000 bytes."""

    sent = serializers.CharField()
    repaired = serializers.CharField()


class StillUnfitSerializer(serializers.Serializer[Any]):
    """A ``dry_run.StillUnfit``."""

    reason = serializers.CharField()
    column = serializers.CharField()
    expected = serializers.CharField()
    messages = serializers.IntegerField()
    value = serializers.CharField()
    example = BeforeAndAfterSerializer()


class DryRunSerializer(serializers.Serializer[Any]):
    """A ``dry_run.DryRun``."""

    selected = serializers.IntegerField()
    tried = serializers.IntegerField(help_text="The oldest selected messages, at most 20,000.")
    fit = serializers.IntegerField()
    unfit = serializers.IntegerField()
    filtered = serializers.IntegerField(
        help_text="Messages that the filter of their source leaves out."
    )
    version = serializers.IntegerField(help_text="The table version that typed them.")
    example = BeforeAndAfterSerializer(allow_null=True, help_text="A message that fits, if any.")
    groups = StillUnfitSerializer(many=True)


class ReplaySerializer(serializers.Serializer[Any]):
    dry_run = DryRunSerializer(allow_null=True, help_text="null unless it was a dry run.")
    run = RunSerializer(allow_null=True, help_text="null for a dry run.")


class DiscardSerializer(serializers.Serializer[Any]):
    selected = serializers.IntegerField(help_text="How many messages are, or were, selected.")
    run = RunSerializer(allow_null=True, help_text="null for a preview.")
