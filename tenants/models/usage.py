"""The usage of tenants, one row for each day (UTC) and key."""

from __future__ import annotations

from django.db import models

from tenants.models.key import APIKey
from tenants.models.tenant import Tenant
from tenants.scoping import ScopedManager


class Usage(models.Model):
    """The usage of one tenant on one day (UTC) by one key.

    Rows without a key hold events from brokers and storage. Events from brokers are counted in the
    statement that settles their batch, so they match the ledger exactly. Web processes count
    everything else and write it once a second. Rows stay when their key is deleted.
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
        default=0, db_default=0, help_text="API calls, including refused ones."
    )
    errors = models.BigIntegerField(
        default=0, db_default=0, help_text="Calls that got a status of 400 or above."
    )
    queries = models.BigIntegerField(
        default=0, db_default=0, help_text="Queries that returned a result."
    )
    rows_read = models.BigIntegerField(
        default=0, db_default=0, help_text="Rows that ClickHouse read for queries."
    )
    bytes_read = models.BigIntegerField(
        default=0, db_default=0, help_text="Bytes that ClickHouse read for queries."
    )
    events = models.BigIntegerField(
        default=0, db_default=0, help_text="Events received, including quarantined ones."
    )
    bytes = models.BigIntegerField(default=0, db_default=0, help_text="Bytes of these events.")
    storage_bytes = models.BigIntegerField(
        default=0,
        db_default=0,
        help_text="The day's highest measured size on ClickHouse's disks, in bytes.",
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
    """The last flush that a process wrote, so that repeating it counts nothing twice."""

    process = models.UUIDField(primary_key=True)
    number = models.BigIntegerField()
    at = models.DateTimeField(auto_now=True, db_index=True)

    class Meta:
        verbose_name_plural = "usage flushes"

    def __str__(self) -> str:
        return f"{self.process} {self.number}"
