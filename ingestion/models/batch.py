from __future__ import annotations

import uuid

from django.db import models
from django.db.models import F, Q

from ingestion.models.partition import StreamPartition


class BatchState(models.TextChoices):
    INTENT = "intent", "Intent"
    DONE = "done", "Done"
    SETTLED = "settled", "Settled"


class Batch(models.Model):
    """One insert of ``[from_offset, to_offset)`` of one partition.

    ``intent``: about to be inserted, or inserted and not yet noted. ``done``: in the table, or in
    the quarantine, and the position is behind it; the broker may not know yet. ``settled``: the
    broker knows too (acknowledged), so that nothing of it can come again.
    """

    token = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    partition = models.ForeignKey(StreamPartition, models.CASCADE, related_name="batches")
    from_offset = models.BigIntegerField()
    to_offset = models.BigIntegerField()
    epoch = models.BigIntegerField()
    state = models.CharField(max_length=10, choices=BatchState.choices, default=BatchState.INTENT)
    rows = models.BigIntegerField(default=0, help_text="Messages received.")
    quarantined = models.BigIntegerField(default=0)
    bytes = models.BigIntegerField(default=0)
    opened_at = models.DateTimeField(auto_now_add=True)
    done_at = models.DateTimeField(null=True, blank=True)

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
