"""What tenants have used, a row for each day (UTC) and key."""

from __future__ import annotations

from django.db import models

from tenants.models.key import APIKey
from tenants.models.tenant import Tenant
from tenants.scoping import ScopedManager


class Usage(models.Model):
    """What one tenant used on one day by one key, or without a key: events from brokers, storage.

    Events from brokers are counted in the statement that settles their batch, so exactly as the
    ledger counts them; all else by the web processes, which write it down once a second.

    Of a key that is gone the rows stay.
    """

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="usage")
    day = models.DateField()
    key = models.ForeignKey(
        APIKey,
        models.DO_NOTHING,
        null=True,
        blank=True,
        db_constraint=False,
        related_name="usage",
    )
    requests = models.BigIntegerField(
        default=0, db_default=0, help_text="Calls of the API, refused ones too."
    )
    errors = models.BigIntegerField(
        default=0, db_default=0, help_text="Calls answered with 400 or above."
    )
    queries = models.BigIntegerField(
        default=0, db_default=0, help_text="Queries that gave a result."
    )
    rows_read = models.BigIntegerField(
        default=0, db_default=0, help_text="Rows that ClickHouse read for them."
    )
    bytes_read = models.BigIntegerField(
        default=0, db_default=0, help_text="Bytes that ClickHouse read for them."
    )
    events = models.BigIntegerField(
        default=0, db_default=0, help_text="Events taken in, misfits included."
    )
    bytes = models.BigIntegerField(default=0, db_default=0, help_text="Bytes of these events.")
    storage_bytes = models.BigIntegerField(
        default=0,
        db_default=0,
        help_text="The most bytes on ClickHouse's disks that were measured that day.",
    )

    objects = ScopedManager()
    across_tenants = models.Manager()

    class Meta:
        verbose_name_plural = "usage"
        ordering = ("-day", "tenant", "key")
        constraints = (
            models.UniqueConstraint(
                fields=("tenant", "day", "key"), name="usage_once", nulls_distinct=False
            ),
        )
        indexes = (models.Index(fields=("day",), name="usage_by_day"),)

    def __str__(self) -> str:
        return f"{self.tenant_id} {self.day} {self.key_id or ''}"


class UsageFlush(models.Model):
    """The number of the last flush that a process wrote: what it repeats is not counted twice."""

    process = models.UUIDField(primary_key=True)
    number = models.BigIntegerField()
    at = models.DateTimeField(auto_now=True, db_index=True)

    class Meta:
        verbose_name_plural = "usage flushes"

    def __str__(self) -> str:
        return f"{self.process} {self.number}"
