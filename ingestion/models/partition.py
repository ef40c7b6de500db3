from __future__ import annotations

from django.db import models
from django.utils import timezone

from ingestion.models.source import Source
from tenants.scoping import ScopedManager


class StreamPartition(models.Model):
    """The unit of parallel consumption. It holds the position and the lease.

    Only the owner with the current ``epoch`` may move the position, in the transaction that marks
    a batch done.
    """

    source = models.ForeignKey(Source, models.CASCADE, related_name="partitions")
    number = models.PositiveIntegerField(default=0, help_text="Kafka's partition; 0 elsewhere.")
    position = models.BigIntegerField(
        null=True,
        blank=True,
        help_text="Offset of the next message to land. Empty if it was never read.",
    )
    reread_until = models.BigIntegerField(
        default=0,
        db_default=0,
        help_text="After a reset, offsets below this may already be in the table. Those that are "
        "there are not inserted again.",
    )
    low_watermark = models.BigIntegerField(default=0, help_text="Oldest offset at the broker.")
    high_watermark = models.BigIntegerField(default=0, help_text="Offset of the next new message.")
    measured_at = models.DateTimeField(null=True, blank=True)
    caught_up_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="The last time at which no message is known to have waited.",
    )

    lease_owner = models.CharField(max_length=200, blank=True)
    lease_expires_at = models.DateTimeField(default=timezone.now)
    epoch = models.BigIntegerField(default=0, help_text="Increases with every lease.")
    crashes = models.PositiveIntegerField(
        default=0,
        db_default=0,
        help_text="How many owners in a row died with a batch under way and landed nothing.",
    )

    wanted_by = models.CharField(
        max_length=200,
        blank=True,
        default="",
        db_default="",
        help_text="An owner in a process that has less than its share and asks for the partition, "
        "or that reserves it for itself.",
    )
    wanted_at = models.DateTimeField(null=True, blank=True)

    landed = models.BigIntegerField(default=0, help_text="Rows in the table.")
    quarantined = models.BigIntegerField(default=0)
    filtered = models.BigIntegerField(
        default=0, db_default=0, help_text="Messages that the source's filter left out."
    )
    bytes = models.BigIntegerField(default=0)
    lost = models.BigIntegerField(
        default=0, help_text="Offsets that the broker deleted before Millrace could read them."
    )
    unidentified = models.BigIntegerField(
        default=0,
        db_default=0,
        help_text="Messages of a queue without a message_id. If one is redelivered, it may be "
        "inserted twice.",
    )
    spooled_bytes = models.BigIntegerField(
        default=0, help_text="Compressed bytes of HTTP events that have not landed yet."
    )
    last_event_at = models.DateTimeField(null=True, blank=True)
    last_landed_at = models.DateTimeField(null=True, blank=True)

    stream_id = models.CharField(
        max_length=64,
        blank=True,
        default="",
        db_default="",
        help_text="The broker's own id of the stream that the position belongs to. Empty if the "
        "broker has no such ids.",
    )
    incarnation = models.PositiveIntegerField(
        default=0,
        db_default=0,
        help_text="Increases when the stream was deleted and created again, and reading continues "
        "with the new one. Offsets of different incarnations are not comparable.",
    )
    began_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When this incarnation began, by ClickHouse's clock. Earlier rows belong to an "
        "earlier incarnation.",
    )
    retired_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When the stream was found created again without this partition.",
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
        """Messages that were at the broker when last measured and have not landed."""
        if self.position is None:
            return max(0, self.high_watermark - self.low_watermark)
        return max(0, self.high_watermark - max(self.position, self.low_watermark))
