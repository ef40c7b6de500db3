"""Base of models with a counterpart in ClickHouse, created after the transaction commits."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.db.models import F
from django.utils import timezone

#: Seconds to wait between attempts; the last value repeats.
RETRY_AFTER = (1, 2, 5, 10, 30, 60)


class ProvisionState(models.TextChoices):
    PENDING = "pending", "Pending"
    READY = "ready", "Ready"
    FAILED = "failed", "Failed"


class Provisioned(models.Model):
    """A row that describes the desired state of something in ClickHouse.

    ``generation`` counts the requested changes; ``applied`` is the last generation that ClickHouse
    has. The transaction that changes the row requests a new generation, and a task applies it after
    the commit. The reconciler queues rows whose generation is not applied yet, so neither a lost
    task nor a change requested while another is being applied is ever forgotten.
    """

    state = models.CharField(
        max_length=10,
        choices=ProvisionState.choices,
        default=ProvisionState.PENDING,
        editable=False,
    )
    generation = models.PositiveIntegerField(default=1, editable=False)
    applied = models.PositiveIntegerField(default=0, editable=False)
    attempts = models.PositiveIntegerField(default=0, editable=False)
    error = models.TextField(blank=True, editable=False)
    retry_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        abstract = True

    def request(self) -> None:
        """Request a new generation: create or alter the counterpart. Call it in a transaction."""
        type(self)._base_manager.filter(pk=self.pk).update(
            generation=F("generation") + 1,
            state=ProvisionState.PENDING,
            attempts=0,
            retry_at=timezone.now(),
        )
        self.refresh_from_db(fields=["generation", "state", "attempts", "retry_at"])

    def succeeded(self, generation: int) -> None:
        """Record that ``generation`` is applied; the row is ready unless a newer one waits."""
        rows = type(self)._base_manager.filter(pk=self.pk)
        rows.update(applied=generation, error="", attempts=0)
        rows.filter(generation=generation).update(state=ProvisionState.READY)
        self.refresh_from_db(fields=["state", "applied", "error", "attempts"])

    def failed(self, generation: int, error: str) -> None:
        """Record why ``generation`` could not be applied, and when to try again."""
        wait = RETRY_AFTER[min(self.attempts, len(RETRY_AFTER) - 1)]
        type(self)._base_manager.filter(pk=self.pk, generation=generation).update(
            state=ProvisionState.FAILED,
            error=error,
            attempts=F("attempts") + 1,
            retry_at=timezone.now() + timedelta(seconds=wait),
        )
        self.refresh_from_db(fields=["state", "error", "attempts", "retry_at"])
