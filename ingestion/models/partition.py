from __future__ import annotations

from django.db import models
from django.utils import timezone

from ingestion.models.source import Source
from tenants.scoping import ScopedManager


class StreamPartition(models.Model):
    """The unit of parallel consumption; it holds the position and the lease.

    Only the owner whose ``epoch`` is current may move the position, and it does so in the
    transaction that marks a batch done.
    """

    source = models.ForeignKey(Source, models.CASCADE, related_name="partitions")
    number = models.PositiveIntegerField(default=0, help_text="Kafka's partition; 0 elsewhere.")
    position = models.BigIntegerField(
        null=True, blank=True, help_text="Offset of the next message to land; empty: never read."
    )
    reread_until = models.BigIntegerField(
        default=0,
        db_default=0,
        help_text="Below it offsets may be in the table already, since a reset: what is there is "
        "not inserted again.",
    )
    low_watermark = models.BigIntegerField(default=0, help_text="Oldest offset the broker has.")
    high_watermark = models.BigIntegerField(default=0, help_text="Offset of the next new message.")
    measured_at = models.DateTimeField(null=True, blank=True)
    caught_up_at = models.DateTimeField(
        null=True, blank=True, help_text="When, as far as is known, nothing waited last."
    )

    lease_owner = models.CharField(max_length=200, blank=True)
    lease_expires_at = models.DateTimeField(default=timezone.now)
    epoch = models.BigIntegerField(default=0, help_text="Grows with every lease.")
    crashes = models.PositiveIntegerField(
        default=0,
        db_default=0,
        help_text="Owners in a row that died with a batch under way, and landed nothing.",
    )

    wanted_by = models.CharField(
        max_length=200,
        blank=True,
        default="",
        db_default="",
        help_text="Owner in a process that has less than its share, or that keeps it for itself.",
    )
    wanted_at = models.DateTimeField(null=True, blank=True)

    landed = models.BigIntegerField(default=0, help_text="Rows in the table.")
    quarantined = models.BigIntegerField(default=0)
    bytes = models.BigIntegerField(default=0)
    lost = models.BigIntegerField(
        default=0, help_text="Offsets that the broker had deleted before it was their turn."
    )
    unidentified = models.BigIntegerField(
        default=0,
        db_default=0,
        help_text="Messages of a queue that had no message_id: of these a redelivered one may be "
        "doubled.",
    )
    spooled_bytes = models.BigIntegerField(
        default=0, help_text="Compressed bytes of HTTP events that wait for the table."
    )
    last_event_at = models.DateTimeField(null=True, blank=True)
    last_landed_at = models.DateTimeField(null=True, blank=True)

    stream_id = models.CharField(
        max_length=64,
        blank=True,
        default="",
        db_default="",
        help_text="The broker's own id of the stream that the position belongs to; empty where it "
        "gives none.",
    )
    incarnation = models.PositiveIntegerField(
        default=0,
        db_default=0,
        help_text="Grows when the stream was deleted and made again, and reading went on with the "
        "new one: offsets of one incarnation say nothing about those of another.",
    )
    began_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="By ClickHouse's clock: rows from before are of an earlier incarnation.",
    )
    retired_at = models.DateTimeField(
        null=True, blank=True, help_text="The stream was made again without this partition."
    )

    objects = ScopedManager("source__tenant")
    across_tenants = models.Manager()

    class Meta:
        verbose_name = "stream partition"
        ordering = ("source", "number")
        constraints = (
            models.UniqueConstraint(fields=("source", "number"), name="stream_partition_once"),
        )
        indexes = (
            models.Index(fields=("lease_expires_at",), name="stream_partition_lease"),
            models.Index(
                fields=("wanted_at",),
                name="stream_partition_wanted",
                condition=models.Q(wanted_at__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return f"{self.source}[{self.number}]"

    @property
    def lag(self) -> int:
        """Messages that the broker had, when last measured, and the table has not."""
        if self.position is None:
            return max(0, self.high_watermark - self.low_watermark)
        return max(0, self.high_watermark - max(self.position, self.low_watermark))
