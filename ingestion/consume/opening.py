"""The beginning of a slice: leases are taken, each leased source becomes a feed or is refused."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Mapping

from django.db.models import Q

from ingestion.connectors.base import Connector, Measured, Watermarks
from ingestion.consume import keeping, lease, measure, sharing, trouble
from ingestion.consume.feed import Feed, left_of, open_feed
from ingestion.consume.lease import Lease, runnable
from ingestion.errors import ConnectorError
from ingestion.models import Source

log = logging.getLogger(__name__)


def open_feeds(connector: Connector, connection_id: int | None, owner: str) -> list[Feed]:
    """Feeds of the sources whose partitions could be leased; what fails is noted at its source.

    A thousand, each with a batch to be brought to an end, take longer than a lease's time, and so
    may a large batch by itself: leases are renewed meanwhile.
    """
    measure.discover(connector, connection_id)
    taken = sharing.take(connection_id, owner, connector.PARTITIONS)
    with keeping.kept(owner, [one.partition_id for one in taken]):
        return _opened(connector, owner, taken)


def _opened(connector: Connector, owner: str, taken: list[Lease]) -> list[Feed]:
    leases: dict[int, list[Lease]] = defaultdict(list)
    for one in taken:
        leases[one.source_id].append(one)
    kept, beat_at = {one.partition_id for one in taken}, time.monotonic()
    left = left_of(taken)
    sources = list(measure.chosen(runnable() & Q(pk__in=list(leases))))
    measured = _measure(connector, sources)
    feeds = []
    for source in sources:
        if time.monotonic() - beat_at >= lease.BEAT:
            kept = lease.renew(owner, kept)
            beat_at = time.monotonic()
        held = leases.pop(source.pk)
        if not kept.issuperset(one.partition_id for one in held):
            log.info("Source %s: paused, or leased to another while feeds were opened.", source)
            _release(owner, held)
            continue
        try:
            feeds.append(open_feed(connector, source, held, _marks(measured, source), left))
        except Exception as error:  # noqa: BLE001 - no source may stop the others
            trouble.note_exception(source, error)
            _release(owner, held)
    for held in leases.values():
        _release(owner, held)
    return feeds


def _measure(connector: Connector, sources: list[Source]) -> Measured:
    try:
        return connector.measure(sources) if sources else {}
    except ConnectorError as error:
        return dict.fromkeys((source.pk for source in sources), error)


def _marks(measured: Measured, source: Source) -> Mapping[int, Watermarks]:
    found = measured[source.pk]
    if isinstance(found, ConnectorError):
        raise found
    return found


def _release(owner: str, held: list[Lease]) -> None:
    lease.release(owner, [one.partition_id for one in held])
