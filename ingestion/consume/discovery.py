"""Measuring: where streams begin and end, as the broker says, and which partitions there are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from contextlib import suppress

from django.db import IntegrityError, connection
from django.db.models import Q, QuerySet

from ingestion.connectors.base import Connector, Watermarks
from ingestion.connectors.registry import connect
from ingestion.consume.recovery import stream_identity, unsettled
from ingestion.errors import ConnectorError
from ingestion.leases.lease import ready, runnable
from ingestion.models import Connection, ConnectionKind, Source, StreamPartition
from ingestion.monitoring import source_errors
from ingestion.monitoring.source_status import source_status
from tenants.warehouse.errors import WarehouseError

# A partition that is there later than the source belongs to it from its first message on, wherever
# the source began; the others begin when they are read first.
_STORE = """
-- A source that was deleted meanwhile must not fail the others: one that is being deleted is
-- waited for. Who deletes locks sources in this order too, and before their partitions.
WITH s AS MATERIALIZED (SELECT id FROM ingestion_source WHERE id = ANY(%(sources)s::bigint[])
                        ORDER BY id FOR KEY SHARE)
INSERT INTO ingestion_streampartition AS p
    (source_id, number, low_watermark, high_watermark, measured_at, lease_owner, lease_expires_at,
     epoch, landed, quarantined, bytes, lost, spooled_bytes, stream_id, position)
SELECT m.source_id, m.number, m.low, m.high, statement_timestamp(), '', statement_timestamp(),
       0, 0, 0, 0, 0, 0, m.stream_id,
       CASE WHEN EXISTS (SELECT FROM ingestion_streampartition o
                         WHERE o.source_id = m.source_id AND o.position IS NOT NULL) THEN m.low END
FROM unnest(%(sources)s::bigint[], %(numbers)s::int[], %(low)s::bigint[], %(high)s::bigint[],
            %(ids)s::text[]) AS m(source_id, number, low, high, stream_id)
JOIN s ON s.id = m.source_id
LEFT JOIN ingestion_streampartition known
    ON known.source_id = m.source_id AND known.number = m.number
-- Partitions are locked in the order in which everybody locks them.
ORDER BY known.id, m.source_id, m.number
ON CONFLICT (source_id, number) DO UPDATE
SET low_watermark = excluded.low_watermark, high_watermark = excluded.high_watermark,
    measured_at = excluded.measured_at,
    stream_id = coalesce(nullif(p.stream_id, ''), excluded.stream_id),
    caught_up_at = CASE WHEN p.position >= excluded.high_watermark THEN excluded.measured_at
                        ELSE p.caught_up_at END
RETURNING p.source_id, p.number, p.stream_id, p.retired_at IS NOT NULL
"""

_NOTE_LAG = """
INSERT INTO ingestion_sourceminute AS m
    (source_id, began_at, rows, quarantined, bytes, lag, lag_seconds, ages)
SELECT s.id, greatest(date_trunc('minute', statement_timestamp()), s.counted_from),
       0, 0, 0, l.lag, l.seconds, '{}'
FROM unnest(%(sources)s::bigint[], %(lags)s::bigint[], %(seconds)s::float[])
    AS l(source_id, lag, seconds)
JOIN ingestion_source s ON s.id = l.source_id ORDER BY s.id FOR KEY SHARE OF s
ON CONFLICT (source_id, began_at) DO UPDATE
SET lag = greatest(m.lag, excluded.lag),
    lag_seconds = greatest(m.lag_seconds, excluded.lag_seconds)
"""

#: To read one takes its decryption, a thousand times for a thousand sources, and none is used.
_SECRETS = (
    *("tenant__warehouse__password", "table__tenant__warehouse__password"),
    *("connection__password", "connection__client_key"),
)


def measure_connection(connection_id: int) -> None:
    """Store the watermarks of all sources on a connection; new partitions get their rows.

    Paused sources are measured too: what waits for them grows.
    """
    on = Connection.across_tenants.filter(pk=connection_id).first()
    if on is None:  # deleted since it was asked for
        return
    sources = list(chosen(ready() & Q(connection=on)).prefetch_related(None))
    if not sources:
        return
    connector = connect(on)
    try:
        store(connector, sources)
    finally:
        connector.close()
    if on.kind == ConnectionKind.KAFKA:
        unsettled.settle_left(sources)


def note_lag() -> None:
    """Note in the history how far behind each source is, as last measured. One statement for all.

    Sources that wait for nothing are left out: no row says the same.
    """
    behind = [one for one in source_status() if one.lag]
    with connection.cursor() as cursor:
        cursor.execute(
            _NOTE_LAG,
            {
                "sources": [one.source_id for one in behind],
                "lags": [one.lag for one in behind],
                "seconds": [one.lag_seconds or 0.0 for one in behind],
            },
        )


def discover(connector: Connector, connection_id: int | None) -> None:
    """Give sources that have no partitions yet their rows."""
    new = runnable() & Q(connection_id=connection_id, partitions=None)
    if sources := list(chosen(new)):
        store(connector, sources)


def chosen(condition: Q) -> QuerySet[Source]:
    """The sources with all that consuming needs to know of them."""
    return (
        Source.across_tenants.filter(condition)
        .select_related("tenant__warehouse", "table__tenant__warehouse", "connection__tenant")
        .defer(*_SECRETS)
        .prefetch_related("table__columns")
    )


def store(connector: Connector, sources: Collection[Source]) -> None:
    """Measure and store; what fails is noted at the sources that it concerns."""
    try:
        measured = connector.measure(sources)
    except ConnectorError as error:
        measured = dict.fromkeys((source.pk for source in sources), error)
    good: dict[int, Mapping[int, Watermarks]] = {}
    for source in sources:
        found = measured[source.pk]
        if not isinstance(found, ConnectorError):
            good[source.pk] = found
        elif source.active and (source.error != str(found) or not source.attempts):
            source_errors.note_exception(source, found)
    stored = _store(good) if connector.GIVES_OFFSETS else _begin(good)
    for source in sources:
        if source.pk in stored:
            _compare(source, stored[source.pk], good[source.pk])


#: Of a source: number, id and whether it is retired, of each partition, as they are stored.
_Stored = Mapping[int, list[tuple[int, str, bool]]]


def _begin(measured: Mapping[int, Mapping[int, Watermarks]]) -> _Stored:
    """The events endpoint gives out offsets from these rows; nothing else may set its watermark."""
    for source_id in measured:
        with suppress(IntegrityError):  # it was deleted meanwhile
            StreamPartition.across_tenants.get_or_create(
                source_id=source_id, number=0, defaults={"position": 0}
            )
    return {}


def _store(measured: Mapping[int, Mapping[int, Watermarks]]) -> _Stored:
    """One statement for all sources."""
    rows = [
        (source_id, number, mark.low, mark.high, mark.stream_id)
        for source_id, marks in measured.items()
        for number, mark in marks.items()
    ]
    columns = [list(column) for column in zip(*rows, strict=True)] or [[]] * 5
    names = ("sources", "numbers", "low", "high", "ids")
    stored: dict[int, list[tuple[int, str, bool]]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(_STORE, dict(zip(names, columns, strict=True)))
        for source_id, number, stream_id, is_retired in cursor.fetchall():
            stored[source_id].append((number, stream_id, is_retired))
    return stored


def _compare(
    source: Source, stored: list[tuple[int, str, bool]], marks: Mapping[int, Watermarks]
) -> None:
    stream_identity.notice(
        source, {number: known for number, known, is_retired in stored if not is_retired}, marks
    )
    if retired := [number for number, _, is_retired in stored if is_retired]:
        with suppress(WarehouseError):
            stream_identity.revive(source, retired, marks)
