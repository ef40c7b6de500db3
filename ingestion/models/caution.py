from __future__ import annotations

from django.db import models

from ingestion.models.partition import StreamPartition
from tenants.scoping import ScopedManager


class Caution(models.Model):
    """Reads a partition in small batches after owners died on it, to find the poison message.

    ``suspect`` is the message that was last tried alone: its id, or its offset if it has no id.
    ``crashes`` counts the owners that died while trying it.
    """

    partition = models.OneToOneField(
        StreamPartition, models.CASCADE, primary_key=True, related_name="caution"
    )
    until = models.BigIntegerField(help_text="Offset at which reading in small batches ends.")
    rows = models.PositiveIntegerField(help_text="Maximum number of messages per insert.")
    outer = models.JSONField(
        default=list,
        blank=True,
        help_text="``until`` and ``rows`` of the ranges around this one, the innermost last.",
    )
    suspect = models.TextField(blank=True)
    crashes = models.PositiveIntegerField(default=0)
    since = models.DateTimeField(auto_now_add=True)

    objects = ScopedManager("partition__source__tenant")
    across_tenants = models.Manager()

    class Meta:
        verbose_name_plural = "cautions"

    def narrow(self, until: int, rows: int) -> None:
        """Read in smaller batches up to ``until``, and after it as before."""
        if self.rows and self.until > until and rows < self.rows:
            self.outer.append([self.until, self.rows])
        self.until, self.rows = until, rows

    def widen(self) -> bool:
        """Undo the last ``narrow``; returns False if there is none to undo."""
        if not self.outer:
            return False
        self.until, self.rows = self.outer.pop()
        self.suspect, self.crashes = "", 0
        return True

    def __str__(self) -> str:
        return f"{self.partition}: {self.rows} at a time up to {self.until}"
