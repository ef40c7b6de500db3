from __future__ import annotations

import uuid

from django.db import models
from django.db.models import F, Q

from ingestion.models.partition import StreamPartition
from tenants.scoping import ScopedManager


class BatchState(models.TextChoices):
    INTENT = "intent", "Intent"
    DONE = "done", "Done"
    SETTLED = "settled", "Settled"


class Batch(models.Model):
    """One insert of ``[from_offset, to_offset)`` of one partition.

    ``intent``: about to be inserted, or inserted but not recorded yet. ``done``: in the table or
    the quarantine, and the position is past it; the broker may not know yet. ``settled``:
    acknowledged to the broker too, so none of it can be delivered again.
    """

    token = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    partition = models.ForeignKey(StreamPartition, models.CASCADE, related_name="batches")
    from_offset = models.BigIntegerField()
    to_offset = models.BigIntegerField()
    epoch = models.BigIntegerField()
    state = models.CharField(max_length=10, choices=BatchState.choices, default=BatchState.INTENT)
    rows = models.BigIntegerField(
        default=0, help_text="Messages in the table or quarantine, or filtered."
    )
    deduplicated = models.BigIntegerField(
        default=0,
        db_default=0,
        help_text="Deliveries skipped because they were already in the table.",
    )
    is_reread = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Read again after a reset: only missing messages were inserted.",
    )
    incarnation = models.PositiveIntegerField(
        default=0,
        db_default=0,
        help_text="Incarnation of the partition when the batch was read.",
    )
    past_views = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Typed together with other batches and inserted past the views.",
    )
    table_version = models.PositiveIntegerField(
        default=1, db_default=1, help_text="Number of the table version that types the batch."
    )
    quarantined = models.BigIntegerField(default=0)
    filtered = models.BigIntegerField(
        default=0, db_default=0, help_text="Messages that the source's filter left out."
    )
    bytes = models.BigIntegerField(default=0)
    unidentified = models.BigIntegerField(
        default=0,
        db_default=0,
        help_text="Messages of a queue whose sender set no message_id.",
    )
    opened_at = models.DateTimeField(auto_now_add=True)
    done_at = models.DateTimeField(null=True, blank=True)

    objects = ScopedManager("partition__source__tenant")
    across_tenants = models.Manager()

    class Meta:
        verbose_name_plural = "batches"
        ordering = ("-pk",)
        indexes = (
            models.Index(fields=("partition", "from_offset"), name="batch_by_offset"),
            models.Index(
                fields=("partition",), condition=~Q(state="settled"), name="batch_unsettled"
            ),
        )
        constraints = (
            models.CheckConstraint(
                condition=Q(to_offset__gte=F("from_offset")), name="batch_range_forward"
            ),
        )

    def __str__(self) -> str:
        return f"{self.partition} [{self.from_offset}, {self.to_offset})"

    @property
    def received(self) -> int:
        """Messages that the broker delivered: inserted, deduplicated, quarantined and filtered."""
        return self.rows + self.deduplicated

    @property
    def inserted(self) -> int:
        """Rows in the table, as counted when the batch was settled."""
        return self.rows - self.quarantined - self.filtered
