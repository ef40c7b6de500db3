from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from ingestion.models.partition import StreamPartition
from ingestion.models.run import Run
from ingestion.models.source import Source
from ingestion.models.table import Table
from tenants.scoping import ScopedManager


class QuarantineAction(models.TextChoices):
    REPLAY = "replay", "Replay"
    DISCARD = "discard", "Discard"


class QuarantineRun(Run):
    """A replay or a discard of selected messages of a table's quarantine. It can be resumed."""

    table = models.ForeignKey(Table, models.CASCADE, related_name="quarantine_runs")
    action = models.CharField(max_length=10, choices=QuarantineAction.choices)
    reason = models.CharField(
        max_length=100, blank=True, help_text="Only messages of this reason. Empty: of any."
    )
    column = models.CharField(  # noqa: DJ001 - messages that are not JSON have the column ''
        max_length=63, null=True, blank=True, help_text="Only of this column. Null: of any."
    )
    source = models.ForeignKey(
        Source,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="quarantine_runs",
        help_text="Only messages of this source. Empty: of any.",
    )
    repair = models.TextField(
        blank=True,
        help_text="A ClickHouse expression over raw that gives the message's new text. Empty: the "
        "message is typed as it is.",
    )
    note = models.TextField(blank=True, help_text="Why the messages are discarded.")
    until = models.DateTimeField(help_text="Only messages that came in before, by ClickHouse.")
    cursor = models.JSONField(null=True, blank=True, editable=False)
    total = models.BigIntegerField(default=0, help_text="Messages selected when it began.")
    moved = models.BigIntegerField(default=0, help_text="Messages replayed or discarded so far.")
    unfit = models.BigIntegerField(default=0, help_text="Messages that still do not fit.")
    skipped = models.BigIntegerField(
        default=0, help_text="Messages left alone, because their batch was not settled yet."
    )

    objects = ScopedManager("table__tenant")
    across_tenants = models.Manager()

    class Meta:
        ordering = ("-pk",)
        indexes = (
            models.Index(
                fields=("table",),
                condition=Q(state__in=("queued", "running")),
                name="quarantine_run_going",
            ),
        )

    def __str__(self) -> str:
        return f"{self.action} {self.pk} of {self.table}"

    @property
    def percent(self) -> int:
        """How much of the selection is done, in per cent."""
        done = self.moved + self.unfit + self.skipped
        return min(100, 100 * done // self.total) if self.total else 100


class QuarantineChunk(models.Model):
    """One step of a run, written before ClickHouse is changed: the intent.

    ``keys``: the messages that leave the quarantine, ``{batch: [offsets]}``. ``from_ms`` and
    ``to_ms`` are the bounds of their ``_ingested_at`` in ms since 1970, both included.
    """

    run = models.ForeignKey(QuarantineRun, models.CASCADE, related_name="chunks")
    token = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    block = models.UUIDField(
        null=True, editable=False, help_text="Deduplication token of the first insert."
    )
    table_version = models.PositiveIntegerField(
        help_text="Number of the table version that types the chunk."
    )
    keys = models.JSONField(default=dict)
    from_ms = models.BigIntegerField()
    to_ms = models.BigIntegerField()
    opened_at = models.DateTimeField(auto_now_add=True)
    landed_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When the ledger counted it, before it left the quarantine.",
    )
    done_at = models.DateTimeField(null=True, blank=True)

    objects = ScopedManager("run__table__tenant")
    across_tenants = models.Manager()

    class Meta:
        ordering = ("run", "pk")
        constraints = (
            models.UniqueConstraint(
                fields=("run",), condition=Q(done_at=None), name="quarantine_chunk_one_open"
            ),
        )

    def __str__(self) -> str:
        return f"{self.run}: chunk {self.pk}"


class QuarantineDeparture(models.Model):
    """Messages of one batch that have left the quarantine: into the table, or discarded."""

    partition = models.ForeignKey(StreamPartition, models.CASCADE, related_name="departures")
    run = models.ForeignKey(QuarantineRun, models.CASCADE, related_name="departures")
    batch = models.UUIDField()
    incarnation = models.PositiveIntegerField(default=0, db_default=0)
    from_offset = models.BigIntegerField()
    to_offset = models.BigIntegerField()
    offsets = ArrayField(models.BigIntegerField())
    is_discard = models.BooleanField(default=False)
    left_at = models.DateTimeField(auto_now_add=True)

    objects = ScopedManager("partition__source__tenant")
    across_tenants = models.Manager()

    class Meta:
        ordering = ("partition", "from_offset")
        indexes = (models.Index(fields=("partition", "from_offset"), name="departure_by_offset"),)

    def __str__(self) -> str:
        return f"{self.partition} [{self.from_offset}, {self.to_offset})"
