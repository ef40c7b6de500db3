from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from ingestion.models.connection import Connection
from ingestion.models.names import stream_name_validator
from ingestion.models.table import Table
from tenants.models import Tenant
from tenants.scoping import ScopedManager


class SourceStart(models.TextChoices):
    EARLIEST = "earliest", "The oldest message at the broker"
    LATEST = "latest", "New messages only"


class Source(models.Model):
    """One stream (topic, queue, or the HTTP events endpoint) feeding one table."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="sources")
    name = models.CharField(max_length=63, validators=[stream_name_validator])
    connection = models.ForeignKey(
        Connection,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="sources",
        help_text="Leave empty to receive events over HTTP at /api/v1/events/ and the source's "
        "name.",
    )
    stream = models.CharField(
        max_length=249,
        blank=True,
        help_text="The topic or queue. Leave empty for the events endpoint.",
    )
    table = models.ForeignKey(Table, models.PROTECT, related_name="sources")
    active = models.BooleanField(default=True, help_text="Clear this to pause the source.")
    start = models.CharField(
        max_length=10,
        choices=SourceStart.choices,
        default=SourceStart.EARLIEST,
        help_text="Where reading begins in a partition that was never read.",
    )
    quarantine_limit = models.PositiveSmallIntegerField(
        default=50,
        validators=[MaxValueValidator(99)],
        help_text="Percentage of the messages of the last minutes (at least 1,000) that may go to "
        "quarantine. Above it the source is paused. 0: never pause.",
    )
    filter = models.CharField(
        max_length=1000,
        blank=True,
        default="",
        db_default="",
        help_text="Which messages to keep: an expression over the table's columns, such as "
        "kind = 'order' AND total > 0. A message for which it is false is counted as filtered and "
        "not kept, not even in quarantine. Leave empty to keep all.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    paused_reason = models.TextField(
        blank=True, editable=False, help_text="Why Millrace paused the source."
    )
    archived_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="When the source was archived. It is not read since; its rows and books stay.",
    )
    counted_from = models.DateTimeField(
        default=timezone.now,
        editable=False,
        help_text="Earlier misfits do not count towards the quarantine limit.",
    )
    error = models.TextField(blank=True, editable=False, help_text="The last error.")
    error_at = models.DateTimeField(null=True, blank=True, editable=False)
    attempts = models.PositiveIntegerField(default=0, editable=False)
    retry_at = models.DateTimeField(
        default=timezone.now, editable=False, help_text="Not consumed before this time."
    )

    objects = ScopedManager()
    across_tenants = models.Manager()

    class Meta:
        ordering = ("tenant", "name")
        constraints = (
            models.UniqueConstraint(fields=("tenant", "name"), name="source_name_once"),
            models.UniqueConstraint(
                fields=("connection", "stream", "table"),
                condition=Q(connection__isnull=False),
                name="source_stream_once_for_a_table",
                violation_error_message="Another source already reads this stream into this table. "
                "Resume or reset that source, or choose another table.",
            ),
            models.CheckConstraint(
                condition=(Q(connection=None) & Q(stream=""))
                | (Q(connection__isnull=False) & ~Q(stream="")),
                name="source_stream_with_connection",
                violation_error_message="A source with a connection needs a topic or queue. A "
                "source without a connection (the events endpoint) must not have one.",
            ),
        )

    def __str__(self) -> str:
        return f"{self.tenant.slug}.{self.name}"

    @property
    def is_archived(self) -> bool:
        return self.archived_at is not None

    def pause(self, reason: str = "") -> None:
        """Pause the source, for ``reason``; an archived source stays as it is."""
        if self.is_archived:
            return
        changed = {"active": False, "paused_reason": reason}
        Source.across_tenants.filter(pk=self.pk, archived_at=None).update(**changed)
        self.active, self.paused_reason = False, reason

    @property
    def kind(self) -> str:
        """The kind of connector that reads it: ``kafka``, ``rabbitmq`` or ``http``."""
        return self.connection.kind if self.connection else "http"

    def clean(self) -> None:
        errors = self._moved()
        if self.table_id and self.tenant_id and self.table.tenant_id != self.tenant_id:
            errors["table"] = "This table belongs to another tenant. Choose one of this tenant."
        owner = self.connection.tenant_id if self.connection else None
        if owner is not None and owner != self.tenant_id:
            errors["connection"] = (
                "This connection belongs to another tenant. Choose one of this tenant, or a shared "
                "one."
            )
        if errors:
            raise ValidationError(errors)

    def _moved(self) -> dict[str, str]:
        """Errors for changed fields that are fixed once the source has read something.

        Its positions and open batches belong to that stream and table.
        """
        fixed = ("connection", "stream", "table")
        stored = Source.across_tenants.select_related("connection", "table").filter(pk=self.pk)
        before = stored.first() if self.pk else None
        if before is None or not self.partitions.exclude(position=None).exists():
            return {}
        message = (
            f"{before.name} has already read from {before.stream or 'the events endpoint'} into "
            f"{before.table.name}, so this can't be changed. Create a new source."
        )
        return {
            name: message for name in fixed if getattr(before, name) != getattr(self, name, None)
        }
