"""Objects of ours that have a counterpart in ClickHouse, made after the transaction that asks."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.db.models import F
from django.utils import timezone

#: Waits between attempts, in seconds; the last one repeats.
RETRY_AFTER = (1, 2, 5, 10, 30, 60)


class ProvisionState(models.TextChoices):
    PENDING = "pending", "Pending"
    READY = "ready", "Ready"
    FAILED = "failed", "Failed"


class Provisioned(models.Model):
    """What is wanted stands in the row; ``generation`` counts the wishes, ``applied`` answers.

    A wish is written in the transaction that changes the row, and carried out after it by a task.
    A task that got lost is repeated by the reconciler, which looks for rows whose wish is not yet
    applied; a wish that came while another was being applied is therefore never forgotten.
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
        """Ask for the counterpart to be made or altered. The caller's transaction carries it."""
        type(self)._base_manager.filter(pk=self.pk).update(
            generation=F("generation") + 1,
            state=ProvisionState.PENDING,
            attempts=0,
            retry_at=timezone.now(),
        )
        self.refresh_from_db(fields=["generation", "state", "attempts", "retry_at"])

    def succeeded(self, generation: int) -> None:
        """``generation`` is applied; the row is ready unless a newer wish waits."""
        rows = type(self)._base_manager.filter(pk=self.pk)
        rows.update(applied=generation, error="", attempts=0)
        rows.filter(generation=generation).update(state=ProvisionState.READY)
        self.refresh_from_db(fields=["state", "applied", "error", "attempts"])

    def failed(self, generation: int, error: str) -> None:
        """Note why ``generation`` could not be applied, and when it is tried again."""
        wait = RETRY_AFTER[min(self.attempts, len(RETRY_AFTER) - 1)]
        type(self)._base_manager.filter(pk=self.pk, generation=generation).update(
            state=ProvisionState.FAILED,
            error=error,
            attempts=F("attempts") + 1,
            retry_at=timezone.now() + timedelta(seconds=wait),
        )
        self.refresh_from_db(fields=["state", "error", "attempts", "retry_at"])
