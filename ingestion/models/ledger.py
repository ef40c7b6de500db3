from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from ingestion.models.partition import StreamPartition
from tenants.scoping import ScopedManager


class FoldedBatches(models.Model):
    """Consecutive settled batches of one hour, merged into one range of the ledger."""

    partition = models.ForeignKey(StreamPartition, models.CASCADE, related_name="folded")
    from_offset = models.BigIntegerField()
    to_offset = models.BigIntegerField()
    batches = models.PositiveIntegerField()
    incarnation = models.PositiveIntegerField(default=0, db_default=0)
    is_reread = models.BooleanField(default=False)
    rows = models.BigIntegerField()
    deduplicated = models.BigIntegerField()
    quarantined = models.BigIntegerField()
    filtered = models.BigIntegerField(default=0, db_default=0)
    bytes = models.BigIntegerField()
    opened_at = models.DateTimeField(help_text="When the first of the batches was opened.")
    done_at = models.DateTimeField(help_text="When the last of the batches was done.")

    objects = ScopedManager("partition__source__tenant")
    across_tenants = models.Manager()

    class Meta:
        verbose_name_plural = "folded batches"
        ordering = ("-pk",)
        indexes = (
            models.Index(fields=("partition", "from_offset"), name="folded_by_offset"),
            models.Index(fields=("partition", "done_at"), name="folded_by_time"),
        )

    def __str__(self) -> str:
        return f"{self.partition} [{self.from_offset}, {self.to_offset})"


class GapReason(models.TextChoices):
    DELETED = "deleted", "Deleted by the broker before it was read"
    SKIPPED = "skipped", "Skipped by a reset"


class Gap(models.Model):
    """Offsets that will never be read, and why."""

    partition = models.ForeignKey(StreamPartition, models.CASCADE, related_name="gaps")
    from_offset = models.BigIntegerField()
    to_offset = models.BigIntegerField()
    reason = models.CharField(max_length=10, choices=GapReason.choices)
    incarnation = models.PositiveIntegerField(default=0, db_default=0)
    noted_at = models.DateTimeField(auto_now_add=True)

    objects = ScopedManager("partition__source__tenant")
    across_tenants = models.Manager()

    class Meta:
        ordering = ("partition", "from_offset")
        constraints = (
            models.CheckConstraint(
                condition=Q(to_offset__gt=F("from_offset")), name="gap_range_forward"
            ),
        )

    def __str__(self) -> str:
        return f"{self.partition} [{self.from_offset}, {self.to_offset}): {self.reason}"


class Reset(models.Model):
    """A record that a partition's position was reset."""

    partition = models.ForeignKey(StreamPartition, models.CASCADE, related_name="resets")
    from_position = models.BigIntegerField()
    to_position = models.BigIntegerField()
    doubles = models.BooleanField(
        default=False, help_text="Whether to insert again what was already in the table."
    )
    incarnation = models.PositiveIntegerField(default=0, db_default=0)
    made_at = models.DateTimeField(auto_now_add=True)

    objects = ScopedManager("partition__source__tenant")
    across_tenants = models.Manager()

    class Meta:
        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"{self.partition} from {self.from_position} to {self.to_position}"
