from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import models
from django.db.models import Q

from ingestion.models.run import Run
from ingestion.models.table import Table
from tenants.crypto import EncryptedTextField
from tenants.scoping import ScopedManager


class BackfillRun(Run):
    """A load of files into a table by Celery workers. Each of its files has a ``Backfill``."""

    table = models.ForeignKey(Table, models.CASCADE, related_name="backfill_runs")
    name = models.TextField(help_text="What it loads, without anything secret.")
    locations = EncryptedTextField(
        editable=False,
        help_text="Paths and URLs, one a line. Encrypted: a presigned URL holds its credentials.",
    )
    upload = models.CharField(
        max_length=80,
        blank=True,
        editable=False,
        help_text="The file below the tenant's folder of uploads. Empty: it loads locations.",
    )
    is_unrestricted = models.BooleanField(
        default=False,
        editable=False,
        help_text="Whether the operator started it by the command, which may name any location.",
    )
    settings = models.JSONField(
        default=dict, editable=False, help_text="How the files are read, and the limits."
    )
    files = models.PositiveIntegerField(null=True, help_text="How many files it loads.")
    file = models.PositiveIntegerField(default=0, help_text="Number of the present file, from 1.")
    step = models.TextField(blank=True, help_text="What is being done, with which file.")
    step_done = models.BigIntegerField(default=0, help_text="Bytes of the step that are done.")
    step_total = models.BigIntegerField(null=True, help_text="Bytes of the step, if known.")
    rows = models.BigIntegerField(default=0, help_text="Rows that it has loaded so far.")
    quarantined = models.BigIntegerField(default=0, help_text="Those of them in quarantine.")
    outcomes = models.JSONField(
        default=list, editable=False, help_text="What became of each file that it is done with."
    )
    begun_at = models.DateTimeField(null=True, help_text="When a worker first took it.")

    objects = ScopedManager("table__tenant")
    across_tenants = models.Manager()

    class Meta:
        ordering = ("-pk",)
        indexes = (
            models.Index(
                fields=("table",),
                condition=Q(state__in=("queued", "running")),
                name="backfill_run_going",
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} into {self.table}"

    @property
    def landed(self) -> int:
        """Rows that it has landed in the table so far."""
        return self.rows - self.quarantined

    @property
    def skipped(self) -> int:
        """Rows of its finished files that were loaded before."""
        return sum(outcome.get("skipped", 0) for outcome in self.outcomes)

    @property
    def percent(self) -> int | None:
        """How much of the present step is done, in per cent; None if its size is unknown."""
        if self.state == "done":
            return 100
        return min(100, 100 * self.step_done // self.step_total) if self.step_total else None

    @property
    def refused(self) -> list[Mapping[str, Any]]:
        """The outcomes of the files that were not loaded, or not to their end."""
        return [outcome for outcome in self.outcomes if outcome.get("error")]
