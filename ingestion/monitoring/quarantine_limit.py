"""The quarantine limit: pauses a source when too many of its messages no longer fit its table.

A producer that changes the form of its messages would otherwise fill the quarantine with everything
it sends. While the source is paused, unread messages stay at the broker, and fit once the table is
corrected.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime

from django.db.models import F, Sum
from django.utils import timezone

from ingestion import quarantine
from ingestion.models import Source, SourceMinute
from ingestion.monitoring import throughput
from tenants.warehouse.errors import WarehouseError

log = logging.getLogger(__name__)

#: The fewest messages of which a share of misfits means anything.
LEAST = 1_000


def pause_beyond(sources: Collection[Source], now: datetime | None = None) -> set[int]:
    """Pause the sources that are beyond their limit; returns their keys. One query if none is."""
    rows_beyond = (
        SourceMinute.across_tenants.filter(
            source__in=[source.pk for source in sources],
            source__active=True,
            source__quarantine_limit__gt=0,
            began_at__gte=throughput.window_start(now or timezone.now()),
        )
        .filter(began_at__gte=F("source__counted_from"))
        .values_list("source", "source__quarantine_limit")
        # What a filter leaves out says nothing of whether messages fit.
        .annotate(rows=Sum(F("rows") - F("filtered")), misfits=Sum("quarantined"))
        .filter(rows__gte=LEAST, misfits__gt=F("rows") * F("source__quarantine_limit") / 100.0)
    )
    beyond = {key: (limit, rows, misfits) for key, limit, rows, misfits in rows_beyond}
    for source in sources:
        if source.pk in beyond:
            source.pause(_reason(source, *beyond[source.pk]))
            log.warning("Source %s: paused. %s", source, source.paused_reason)
    return set(beyond)


def _reason(source: Source, limit: int, rows: int, misfits: int) -> str:
    return (
        f"{misfits:,} of the last {rows:,} messages ({misfits / rows:.0%}) did not fit "
        f"{source.table.name}, more than the limit of {limit} %{_mostly(source)}. Unread messages "
        "stay at the broker. Correct the table or the sender, then resume the source: counting "
        "starts again from zero."
    )


def _mostly(source: Source) -> str:
    """The most common reason of recent misfits, as text; empty if ClickHouse can't be asked."""
    try:
        groups = quarantine.groups(source.table, source=source, since=throughput.WINDOW)
    except WarehouseError:
        return ""
    if not groups:
        return ""
    most = groups[0]
    column = f" in {most.column}" if most.column else ""
    return f": mostly {most.reason}{column}"
