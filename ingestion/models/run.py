from __future__ import annotations

from django.db import models
from django.utils import timezone


class RunState(models.TextChoices):
    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    CANCELLED = "cancelled", "Cancelled"
    FAILED = "failed", "Failed"


#: States in which a worker goes on with the run.
GOES_ON = (RunState.QUEUED, RunState.RUNNING)
#: States in which a run can be resumed.
CAN_RESUME = (RunState.CANCELLED, RunState.FAILED)


class Run(models.Model):
    """Work on a table that Celery workers do in steps, with progress. It can be resumed."""

    state = models.CharField(max_length=10, choices=RunState.choices, default=RunState.QUEUED)
    error = models.TextField(blank=True)
    actor = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    worked_at = models.DateTimeField(
        default=timezone.now, editable=False, help_text="When its latest chunk began."
    )
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True

    @property
    def goes_on(self) -> bool:
        """Whether a worker goes on with it."""
        return self.state in GOES_ON

    @property
    def can_resume(self) -> bool:
        """Whether it has ended without being done."""
        return self.state in CAN_RESUME
