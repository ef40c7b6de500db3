from __future__ import annotations

import uuid

from django.db import models

from ingestion.models.backfill_run import BackfillRun
from ingestion.models.table import Table
from tenants.scoping import ScopedManager


class BackfillState(models.TextChoices):
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    #: Between two chunks, because its run was cancelled or waits.
    STOPPED = "stopped", "Stopped"
    FAILED = "failed", "Failed"


class Backfill(models.Model):
    """A resumable load of one file into a table. The same content is the same backfill."""

    table = models.ForeignKey(Table, models.CASCADE, related_name="backfills")
    name = models.CharField(max_length=500, help_text="The file's name when it was first loaded.")
    sha256 = models.CharField(
        max_length=64, help_text="SHA-256 of the file's bytes, without decompressing them."
    )
    format = models.CharField(max_length=20)
    options = models.JSONField(
        null=True,
        blank=True,
        editable=False,
        help_text="How the file is read. Unknown for a backfill that was begun before this was "
        "kept.",
    )
    location = models.TextField(
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text="The path or URL that the file was loaded from. Empty for a backfill that was "
        "begun before this was kept.",
    )
    etag = models.TextField(
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text="The mark of the file's content that the server at the location gave, if any.",
    )
    chunk_rows = models.PositiveIntegerField()
    state = models.CharField(
        max_length=10, choices=BackfillState.choices, default=BackfillState.RUNNING
    )
    rows = models.BigIntegerField(default=0)
    quarantined = models.BigIntegerField(default=0)
    error = models.TextField(blank=True)
    remark = models.TextField(
        blank=True,
        default="",
        db_default="",
        help_text="What of the file may be other than it was meant.",
    )
    started_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = ScopedManager("table__tenant")
    across_tenants = models.Manager()

    class Meta:
        ordering = ("-pk",)
        constraints = (
            models.UniqueConstraint(fields=("table", "sha256"), name="backfill_content_once"),
        )

    def __str__(self) -> str:
        return f"{self.name} into {self.table}"


class BackfillChunk(models.Model):
    """One insert of a backfill: the rows ``[from_row, to_row)`` of its file."""

    backfill = models.ForeignKey(Backfill, models.CASCADE, related_name="chunks")
    token = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    run = models.ForeignKey(
        BackfillRun,
        models.SET_NULL,
        null=True,
        editable=False,
        related_name="chunks",
        help_text="The run that began it. Null: the command, in the foreground.",
    )
    from_row = models.BigIntegerField()
    to_row = models.BigIntegerField()
    table_version = models.PositiveIntegerField(
        default=1, db_default=1, help_text="Number of the table version that types the chunk."
    )
    quarantined = models.BigIntegerField(default=0)
    opened_at = models.DateTimeField(auto_now_add=True)
    done_at = models.DateTimeField(null=True, blank=True)

    objects = ScopedManager("backfill__table__tenant")
    across_tenants = models.Manager()

    class Meta:
        ordering = ("backfill", "from_row")
        constraints = (
            models.UniqueConstraint(fields=("backfill", "from_row"), name="backfill_chunk_once"),
        )

    def __str__(self) -> str:
        return f"{self.backfill} [{self.from_row}, {self.to_row})"
