from __future__ import annotations

from django.db import models

from ingestion.models.partition import StreamPartition
from tenants.scoping import ScopedManager


class SpooledEvents(models.Model):
    """Events accepted by the HTTP endpoint, kept from the 202 until they are in the table.

    One row is one request: ``count`` events with the offsets from ``first_offset`` on. Offsets are
    taken from the partition's ``high_watermark`` under a row lock, so commits are in their order.
    """

    partition = models.ForeignKey(StreamPartition, models.CASCADE, related_name="spool")
    first_offset = models.BigIntegerField()
    count = models.PositiveIntegerField()
    body = models.BinaryField(help_text="The events, one per line, compressed with zstd.")
    size = models.PositiveIntegerField(
        default=0, help_text="Size of the events before compression."
    )
    received_at = models.DateTimeField(auto_now_add=True)
    headers = models.TextField(
        blank=True,
        default="",
        db_default="",
        help_text="The request's headers that the table has columns for, as JSON.",
    )

    objects = ScopedManager("partition__source__tenant")
    across_tenants = models.Manager()

    class Meta:
        verbose_name_plural = "spooled events"
        constraints = (
            models.UniqueConstraint(fields=("partition", "first_offset"), name="spool_offset_once"),
        )

    def __str__(self) -> str:
        return f"{self.partition} [{self.first_offset}, {self.first_offset + self.count})"


class EventsReceipt(models.Model):
    """What the events endpoint answered to a request that carried an ``Idempotency-Key``.

    A sender that missed the answer repeats the request and gets the same answer. ``sha256`` is the
    hash of the events, which shows whether the key is reused for other events.
    """

    partition = models.ForeignKey(StreamPartition, models.CASCADE, related_name="receipts")
    idempotency_key = models.CharField(max_length=200)
    sha256 = models.BinaryField(max_length=32)
    first_offset = models.BigIntegerField()
    count = models.PositiveIntegerField()
    received_at = models.DateTimeField(auto_now_add=True, db_index=True)

    objects = ScopedManager("partition__source__tenant")
    across_tenants = models.Manager()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("partition", "idempotency_key"), name="events_receipt_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.partition} {self.idempotency_key}"
