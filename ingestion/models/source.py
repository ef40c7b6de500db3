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
    EARLIEST = "earliest", "The oldest message there is"
    LATEST = "latest", "Messages from now on"


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
        help_text="Leave empty for events sent to /api/v1/events/ and the source's name.",
    )
    stream = models.CharField(
        max_length=249, blank=True, help_text="The topic or queue. Empty for the events endpoint."
    )
    table = models.ForeignKey(Table, models.PROTECT, related_name="sources")
    active = models.BooleanField(default=True, help_text="Consumed; otherwise paused.")
    start = models.CharField(
        max_length=10,
        choices=SourceStart.choices,
        default=SourceStart.EARLIEST,
        help_text="Where a partition that was never read begins.",
    )
    quarantine_limit = models.PositiveSmallIntegerField(
        default=50,
        validators=[MaxValueValidator(99)],
        help_text="Per cent of the messages of the last minutes (1,000 at the least) that may go "
        "to quarantine; beyond that the source is paused. 0: it never is.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    paused_reason = models.TextField(
        blank=True, editable=False, help_text="Why Millrace itself has paused it."
    )
    archived_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="Since then it is not read any more; its rows and books stay.",
    )
    counted_from = models.DateTimeField(
        default=timezone.now, editable=False, help_text="Misfits from before it are let be."
    )
    error = models.TextField(blank=True, editable=False, help_text="What broke last.")
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
                violation_error_message="Another source reads this stream of the connection into "
                "this table already. Resume or reset that one, or choose another table.",
            ),
            models.CheckConstraint(
                condition=(Q(connection=None) & Q(stream=""))
                | (Q(connection__isnull=False) & ~Q(stream="")),
                name="source_stream_with_connection",
                violation_error_message="A source on a connection needs a topic or queue, and one "
                "without a connection (the events endpoint) has none.",
            ),
        )

    def __str__(self) -> str:
        return f"{self.tenant.slug}.{self.name}"

    @property
    def is_archived(self) -> bool:
        return self.archived_at is not None

    def pause(self, reason: str = "") -> None:
        """Save that it is not consumed; one in the archive stays as it is."""
        if self.is_archived:
            return
        changed = {"active": False, "paused_reason": reason}
        Source.across_tenants.filter(pk=self.pk, archived_at=None).update(**changed)
        self.active, self.paused_reason = False, reason

    @property
    def kind(self) -> str:
        """``kafka``, ``rabbitmq`` or ``http``: which connector reads it."""
        return self.connection.kind if self.connection else "http"

    def clean(self) -> None:
        errors = self._moved()
        if self.table_id and self.tenant_id and self.table.tenant_id != self.tenant_id:
            errors["table"] = "This table belongs to another tenant: choose one of the source's."
        owner = self.connection.tenant_id if self.connection else None
        if owner is not None and owner != self.tenant_id:
            errors["connection"] = (
                "This connection belongs to another tenant: choose one of the source's, or a "
                "shared one."
            )
        if errors:
            raise ValidationError(errors)

    def _moved(self) -> dict[str, str]:
        """Positions and open batches belong to what has been read: it can't become another."""
        fixed = ("connection", "stream", "table")
        stored = Source.across_tenants.select_related("connection", "table").filter(pk=self.pk)
        before = stored.first() if self.pk else None
        if before is None or not self.partitions.exclude(position=None).exists():
            return {}
        message = (
            f"{before.name} has read from {before.stream or 'the events endpoint'} into "
            f"{before.table.name} already, and this can't change any more. Make a new source."
        )
        return {
            name: message for name in fixed if getattr(before, name) != getattr(self, name, None)
        }
