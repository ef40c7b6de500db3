from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from ingestion.models.source import Source
from tenants.scoping import ScopedManager


class SourceMinute(models.Model):
    """What one source landed within one minute, the age of those events, and the lag.

    A row begins at a full minute. Resuming a source begins another row at that moment, so that
    counting restarts there. Minutes in which nothing landed and nothing waited have no row. A batch
    is counted once, when it is settled, in the minute in which it was done.

    The rows of a deleted source stay until they are pruned; nothing else refers to them.
    """

    source = models.ForeignKey(
        Source, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="minutes"
    )
    began_at = models.DateTimeField(db_index=True)
    rows = models.BigIntegerField(
        default=0, help_text="Messages received, with misfits and filtered ones."
    )
    quarantined = models.BigIntegerField(default=0)
    filtered = models.BigIntegerField(default=0, db_default=0)
    bytes = models.BigIntegerField(default=0)
    lag = models.BigIntegerField(default=0, help_text="The largest lag measured in that minute.")
    lag_seconds = models.FloatField(default=0)
    ages = ArrayField(
        models.IntegerField(),
        default=list,
        help_text="Number of messages by age when they landed, one count per ages.BUCKETS.",
    )

    objects = ScopedManager("source__tenant")
    across_tenants = models.Manager()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("source", "began_at"), name="source_minute_once"),
        )

    def __str__(self) -> str:
        return f"{self.source_id} {self.began_at:%H:%M:%S}"
