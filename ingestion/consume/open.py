"""The beginning of a slice: leases are taken, each leased source becomes a reader or is refused."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Event

from django.db.models import Q

from ingestion.batches.batch import Lease
from ingestion.connectors.base import Connector, Measured, Watermarks
from ingestion.connectors.registry import connect
from ingestion.consume import discovery
from ingestion.consume.insert_pool import InsertPool
from ingestion.consume.scheduling import insert_slots
from ingestion.consume.scheduling.batch_policy import BatchPolicy
from ingestion.consume.scheduling.selection import Chooser
from ingestion.consume.source_reader import SourceReader, open_source_reader, unfinished_of
from ingestion.consume.state import SliceState
from ingestion.errors import ConnectorError
from ingestion.leases import heartbeat, lease, rebalance
from ingestion.leases.lease import runnable
from ingestion.models import Connection, Source
from ingestion.monitoring import source_errors

log = logging.getLogger(__name__)


def open_slice(
    connection_id: int | None,
    policy: BatchPolicy,
    should_stop: Callable[[], bool],
    clock: Callable[[], float],
) -> SliceState:
    """The state of a slice that has no readers yet. Raises Connection.DoesNotExist."""
    woken = Event()
    return SliceState(
        owner=lease.new_owner(),
        connector=connect(_connection(connection_id)),
        policy=policy,
        pool=InsertPool(woken),
        chooser=Chooser(insert_slots.of(connection_id), woken),
        woken=woken,
        clock=clock,
        should_stop=should_stop,
        heartbeat_at=clock() + lease.BEAT,
    )


def _connection(pk: int | None) -> Connection | None:
    return None if pk is None else Connection.across_tenants.select_related("tenant").get(pk=pk)


def open_source_readers(
    connector: Connector, connection_id: int | None, owner: str
) -> list[SourceReader]:
    """Readers of the sources whose partitions could be leased; what fails is noted at its source.

    A thousand, each with a batch to be brought to an end, take longer than a lease's time, and so
    may a large batch by itself: leases are renewed meanwhile.
    """
    discovery.discover(connector, connection_id)
    taken = rebalance.take(connection_id, owner, connector.PARTITIONS)
    with heartbeat.kept(owner, [one.partition_id for one in taken]):
        return _opened(connector, owner, taken)


def _opened(connector: Connector, owner: str, taken: list[Lease]) -> list[SourceReader]:
    leases: dict[int, list[Lease]] = defaultdict(list)
    for one in taken:
        leases[one.source_id].append(one)
    kept, beat_at = {one.partition_id for one in taken}, time.monotonic()
    unfinished = unfinished_of(taken)
    sources = list(discovery.chosen(runnable() & Q(pk__in=list(leases))))
    measured = _measure(connector, sources)
    readers: list[SourceReader] = []
    for source in sources:
        if time.monotonic() - beat_at >= lease.BEAT:
            kept = lease.renew(owner, kept)
            for reader in readers:
                # Of what is lost by now its slice finds out.
                with suppress(ConnectorError):
                    reader.stream.keep_alive()
            beat_at = time.monotonic()
        held = leases.pop(source.pk)
        if not kept.issuperset(one.partition_id for one in held):
            log.info("Source %s: paused, or leased to another while readers were opened.", source)
            _release(owner, held)
            continue
        try:
            readers.append(
                open_source_reader(connector, source, held, _marks(measured, source), unfinished)
            )
        except Exception as error:  # noqa: BLE001 - no source may stop the others
            source_errors.note_exception(source, error)
            _release(owner, held)
    for held in leases.values():
        _release(owner, held)
    return readers


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
