"""Plans, which limit what tenants may use, and holds, which pause ingestion at a limit."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from tenants.scoping import ScopedManager
from tenants.warehouse.statements import MOST_DAYS


def _limit(
    help_text: str, most: int | None = None
) -> models.PositiveBigIntegerField[int | None, int | None]:
    validators = [MinValueValidator(1), *([MaxValueValidator(most)] if most else [])]
    return models.PositiveBigIntegerField(
        null=True, blank=True, validators=validators, help_text=help_text
    )


class Plan(models.Model):
    """The limits of the tenants that have this plan. An empty limit means unlimited.

    Days and daily limits begin at midnight UTC; a minute begins with the first call in it.
    """

    name = models.CharField(max_length=60, unique=True)
    requests_a_minute = _limit("API calls a minute, all keys together.")
    key_requests_a_minute = _limit("API calls a minute for each key.")
    concurrent_queries = _limit("Queries that run at the same time.")
    rows_a_query = _limit("Rows that ClickHouse may read for one query.")
    bytes_a_query = _limit("Bytes that ClickHouse may read for one query.")
    rows_read_a_day = _limit("Rows that ClickHouse may read for all queries of a day.")
    bytes_read_a_day = _limit("Bytes that ClickHouse may read for all queries of a day.")
    events_a_day = _limit("Events a day, over HTTP and from brokers, including quarantined ones.")
    bytes_a_day = _limit("Bytes of these events.")
    retention_days = _limit(
        "Days after which rows and quarantined messages are deleted.", MOST_DAYS
    )
    storage_bytes = _limit("Compressed bytes on ClickHouse's disks.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


#: The names of a plan's limits, in the order in which they are shown.
LIMITS: tuple[str, ...] = tuple(
    field.name for field in Plan._meta.fields if isinstance(field, models.PositiveBigIntegerField)
)


class IngestionHold(models.Model):
    """Pauses reading from a tenant's brokers because the tenant reached a limit of its plan.

    The hold ends by itself when the day ends, when storage is free again, or when the plan allows
    more. Unread messages stay at the broker.
    """

    tenant = models.OneToOneField("Tenant", models.CASCADE, related_name="ingestion_hold")
    limit = models.CharField(max_length=30, help_text="The limit's name in the plan.")
    value = models.PositiveBigIntegerField(help_text="The limit.")
    reason = models.TextField()
    since = models.DateTimeField(auto_now_add=True)
    until = models.DateTimeField(
        null=True, blank=True, help_text="When it ends at the latest; empty if unknown."
    )

    objects = ScopedManager()
    across_tenants = models.Manager()

    def __str__(self) -> str:
        return f"{self.tenant}: {self.limit}"
