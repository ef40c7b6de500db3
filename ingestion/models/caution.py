from __future__ import annotations

from django.db import models

from ingestion.models.partition import StreamPartition
from tenants.scoping import ScopedManager


class Caution(models.Model):
    """A partition that owners died of is read in small pieces, until one message is to blame.

    ``suspect`` names the message that was tried alone last: its id, or its offset where it has
    none. ``crashes``: owners that died while it was.
    """

    partition = models.OneToOneField(
        StreamPartition, models.CASCADE, primary_key=True, related_name="caution"
    )
    until = models.BigIntegerField(help_text="Offset at which the care ends.")
    rows = models.PositiveIntegerField(help_text="Messages that one insert has at most.")
    outer = models.JSONField(
        default=list, blank=True, help_text="``until`` and ``rows`` of the pieces around this one."
    )
    suspect = models.TextField(blank=True)
    crashes = models.PositiveIntegerField(default=0)
    since = models.DateTimeField(auto_now_add=True)

    objects = ScopedManager("partition__source__tenant")
    across_tenants = models.Manager()

    class Meta:
        verbose_name_plural = "cautions"

    def narrow(self, until: int, rows: int) -> None:
        """Go on in smaller pieces up to ``until``, and after it as now."""
        if self.rows and self.until > until and rows < self.rows:
            self.outer.append([self.until, self.rows])
        self.until, self.rows = until, rows

    def widen(self) -> bool:
        """Go on as before the last ``narrow``; False says that there was none."""
        if not self.outer:
            return False
        self.until, self.rows = self.outer.pop()
        self.suspect, self.crashes = "", 0
        return True

    def __str__(self) -> str:
        return f"{self.partition}: {self.rows} at a time up to {self.until}"
