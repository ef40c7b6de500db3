from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from ingestion.models.source import Source
from tenants.scoping import ScopedManager


class SourceMinute(models.Model):
    """What landed of one source within one minute, how old it was then, and how far behind it was.

    A row begins at a full minute, and another one at the moment at which a source was resumed, so
    that what is counted anew begins there. Minutes in which nothing landed and nothing waited have
    no row. Batches are counted once, when they are settled, in the minute in which they were done.

    Of a deleted source rows stay until they are pruned: nothing else refers to them.
    """

    source = models.ForeignKey(
        Source, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="minutes"
    )
    began_at = models.DateTimeField(db_index=True)
    rows = models.BigIntegerField(default=0, help_text="Messages received, misfits included.")
    quarantined = models.BigIntegerField(default=0)
    bytes = models.BigIntegerField(default=0)
    lag = models.BigIntegerField(default=0, help_text="The largest that was measured.")
    lag_seconds = models.FloatField(default=0)
    ages = ArrayField(
        models.IntegerField(),
        default=list,
        help_text="Messages by their age when they landed: one count for each of ages.BUCKETS.",
    )

    objects = ScopedManager("source__tenant")
    across_tenants = models.Manager()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("source", "began_at"), name="source_minute_once"),
        )

    def __str__(self) -> str:
        return f"{self.source_id} {self.began_at:%H:%M:%S}"
