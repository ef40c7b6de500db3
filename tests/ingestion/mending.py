"""Misfits that are made and mended in this process."""

from __future__ import annotations

from ingestion.consume.loop import Slice
from ingestion.models import Batch, BatchState, QuarantineRun, Source, Table
from ingestion.services import quarantine_runs as service
from ingestion.services.events import accept

#: Takes the quotes off the number: {"n": "5"} becomes {"n": 5}.
UNQUOTE = r"""replaceRegexpOne(raw, '"n": "(\\d+)"', '"n": \\1')"""


def land(table: Table, events: list[bytes], name: str = "first") -> Source:
    source, _ = Source.objects.get_or_create(tenant=table.tenant, name=name, table=table)
    accept(source, events)
    open_batches = Batch.objects.filter(partition__source=source).exclude(state=BatchState.SETTLED)
    for _ in range(20):
        Slice(None, seconds=0.5).run()
        if source.partitions.exists() and not open_batches.exists():
            break
    return source


def finish(made: QuarantineRun) -> QuarantineRun:
    while service.work(made.pk):
        pass
    made.refresh_from_db()
    return made
