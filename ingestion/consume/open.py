"""Opens a slice: takes leases and opens a reader for each leased source."""

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
    """The state of a new slice, without readers. Raises Connection.DoesNotExist."""
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
    """Open readers of the sources whose partitions could be leased.

    A source that fails gets a note, and its leases are given back. The leases are renewed in the
    meantime: to recover an open batch for each of a thousand sources takes longer than a lease
    lasts, and so may a single large batch.
    """
    discovery.discover(connector, connection_id)
    taken = rebalance.take(connection_id, owner, connector.PARTITIONS)
    with heartbeat.kept(owner, [taken_lease.partition_id for taken_lease in taken]):
        return _opened(connector, owner, taken)


def _opened(connector: Connector, owner: str, taken: list[Lease]) -> list[SourceReader]:
    leases: dict[int, list[Lease]] = defaultdict(list)
    for taken_lease in taken:
        leases[taken_lease.source_id].append(taken_lease)
    kept, beat_at = {taken_lease.partition_id for taken_lease in taken}, time.monotonic()
    unfinished = unfinished_of(taken)
    sources = list(discovery.chosen(runnable() & Q(pk__in=list(leases))))
    measured = _measure(connector, sources)
    readers: list[SourceReader] = []
    for source in sources:
        if time.monotonic() - beat_at >= lease.BEAT:
            kept = lease.renew(owner, kept)
            for reader in readers:
                # A link that breaks here shows up in the slice's own steps.
                with suppress(ConnectorError):
                    reader.stream.keep_alive()
            beat_at = time.monotonic()
        held = leases.pop(source.pk)
        if not kept.issuperset(held_lease.partition_id for held_lease in held):
            log.info(
                "Source %s: it was paused, or another worker took its lease, while readers were "
                "opened.",
                source,
            )
            _release(owner, held)
            continue
        try:
            readers.append(
                open_source_reader(connector, source, held, _marks(measured, source), unfinished)
            )
        except Exception as error:  # noqa: BLE001 - no source may stop the others
            source_errors.note_exception(source, error)
            _release(owner, held)
    # Leases of sources that were paused or deleted after the leases were taken.
    for held in leases.values():
        _release(owner, held)
    return readers


def _measure(connector: Connector, sources: list[Source]) -> Measured:
    try:
        return connector.measure(sources) if sources else {}
    except ConnectorError as error:
        return dict.fromkeys((source.pk for source in sources), error)


def _marks(measured: Measured, source: Source) -> Mapping[int, Watermarks]:
    marks = measured[source.pk]
    if isinstance(marks, ConnectorError):
        raise marks
    return marks


def _release(owner: str, held: list[Lease]) -> None:
    lease.release(owner, [held_lease.partition_id for held_lease in held])
