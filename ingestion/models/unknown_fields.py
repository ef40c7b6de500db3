from __future__ import annotations

from django.db import models

from ingestion.models.table import Table
from tenants.scoping import ScopedManager


class UnknownFields(models.Model):
    """The fields that a sample of a table's messages had and no column reads."""

    table = models.OneToOneField(
        Table, models.CASCADE, primary_key=True, related_name="unknown_sample"
    )
    version = models.PositiveIntegerField(help_text="Number of the version whose columns read.")
    sampled = models.PositiveBigIntegerField(help_text="Messages that were looked at.")
    fields = models.JSONField(
        default=dict, help_text="By path: in how many of them it was, and the newest value."
    )
    updated_at = models.DateTimeField(auto_now=True)

    objects = ScopedManager("table__tenant")
    across_tenants = models.Manager()

    class Meta:
        verbose_name = verbose_name_plural = "unknown fields"

    def __str__(self) -> str:
        return f"{self.table} v{self.version}"
