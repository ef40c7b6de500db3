"""Plans: what a tenant may use. And holds: ingestion that waits because a limit was reached."""

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
    """What tenants of the plan may use. A limit that is empty is none.

    Days and their budgets begin at midnight UTC, minutes with the first call in them.
    """

    name = models.CharField(max_length=60, unique=True)
    requests_a_minute = _limit("Calls of the API, of all keys together.")
    key_requests_a_minute = _limit("Calls of the API by one key.")
    concurrent_queries = _limit("Queries that run at the same time.")
    rows_a_query = _limit("Rows that ClickHouse reads for one query.")
    bytes_a_query = _limit("Bytes that ClickHouse reads for one query.")
    rows_read_a_day = _limit("Rows that ClickHouse reads for all queries of a day.")
    bytes_read_a_day = _limit("Bytes that ClickHouse reads for all queries of a day.")
    events_a_day = _limit("Events taken in, over HTTP and from brokers, misfits included.")
    bytes_a_day = _limit("Bytes of these events.")
    retention_days = _limit(
        "Rows, and messages in quarantine, are deleted after so many days.", MOST_DAYS
    )
    storage_bytes = _limit("Bytes on ClickHouse's disks, compressed.")
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
    """A tenant's sources on brokers are not read, because it has reached a limit of its plan.

    It goes by itself: when the day ends, when there is room again, or when the plan allows more.
    What is not read stays at the broker.
    """

    tenant = models.OneToOneField("Tenant", models.CASCADE, related_name="ingestion_hold")
    limit = models.CharField(max_length=30, help_text="The limit's name in the plan.")
    value = models.PositiveBigIntegerField(help_text="The limit.")
    reason = models.TextField()
    since = models.DateTimeField(auto_now_add=True)
    until = models.DateTimeField(
        null=True, blank=True, help_text="When it ends at the latest; empty where nobody knows."
    )

    objects = ScopedManager()
    across_tenants = models.Manager()

    def __str__(self) -> str:
        return f"{self.tenant}: {self.limit}"
