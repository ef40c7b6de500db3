"""Asks brokers where streams begin and end, and which partitions they have; stores the answers."""

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

# A partition that appears after its source has begun to read is read from its first message on,
# wherever the source began. The position of the others is set when they are first read.
_STORE = """
-- A source that is deleted in the meantime must not fail the others, so this waits for deletions
-- under way. A deletion locks sources in this order too, and before their partitions.
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
-- Every statement locks partitions in this order, so that no two wait for each other.
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

#: Columns that are not read: each is decrypted when it is, a thousand times for a thousand sources,
#: and consuming uses none of them.
_SECRETS = (
    *("tenant__warehouse__password", "table__tenant__warehouse__password"),
    *("connection__password", "connection__client_key"),
)


def measure_connection(connection_id: int) -> None:
    """Store the watermarks of all sources on a connection, and create rows for new partitions.

    Paused sources are measured too, because their lag grows.
    """
    broker = Connection.across_tenants.filter(pk=connection_id).first()
    if broker is None:  # it was deleted after this was queued
        return
    sources = list(chosen(ready() & Q(connection=broker)).prefetch_related(None))
    if not sources:
        return
    connector = connect(broker)
    try:
        store(connector, sources)
    finally:
        connector.close()
    if broker.kind == ConnectionKind.KAFKA:
        unsettled.settle_left(sources)


def note_lag() -> None:
    """Write each source's lag, as last measured, to its history. One statement for all sources.

    Sources without lag are left out: a minute without a row means the same.
    """
    behind = [status for status in source_status() if status.lag]
    with connection.cursor() as cursor:
        cursor.execute(
            _NOTE_LAG,
            {
                "sources": [status.source_id for status in behind],
                "lags": [status.lag for status in behind],
                "seconds": [status.lag_seconds or 0.0 for status in behind],
            },
        )


def discover(connector: Connector, connection_id: int | None) -> None:
    """Create the partition rows of sources that have none yet."""
    new = runnable() & Q(connection_id=connection_id, partitions=None)
    if sources := list(chosen(new)):
        store(connector, sources)


def chosen(condition: Q) -> QuerySet[Source]:
    """The sources that meet ``condition``, with everything that consuming reads of them."""
    return (
        Source.across_tenants.filter(condition)
        .select_related("tenant__warehouse", "table__tenant__warehouse", "connection__tenant")
        .defer(*_SECRETS)
        .prefetch_related("table__columns")
    )


def store(connector: Connector, sources: Collection[Source]) -> None:
    """Measure sources and store their watermarks; note an error at the source that it concerns."""
    try:
        measured = connector.measure(sources)
    except ConnectorError as error:
        measured = dict.fromkeys((source.pk for source in sources), error)
    good: dict[int, Mapping[int, Watermarks]] = {}
    for source in sources:
        marks = measured[source.pk]
        if not isinstance(marks, ConnectorError):
            good[source.pk] = marks
        elif source.active and (source.error != str(marks) or not source.attempts):
            # An error that stands there already is not noted again: it would lengthen the back-off.
            source_errors.note_exception(source, marks)
    stored = _store(good) if connector.GIVES_OFFSETS else _begin(good)
    for source in sources:
        if source.pk in stored:
            _compare(source, stored[source.pk], good[source.pk])


#: By source: the number, the stream id and whether it is retired, of each stored partition.
_Stored = Mapping[int, list[tuple[int, str, bool]]]


def _begin(measured: Mapping[int, Mapping[int, Watermarks]]) -> _Stored:
    """Create the partitions of HTTP sources, without watermarks.

    The events endpoint assigns offsets from these rows, and nothing else may set their watermark.
    """
    for source_id in measured:
        with suppress(IntegrityError):  # the source was deleted in the meantime
            StreamPartition.across_tenants.get_or_create(
                source_id=source_id, number=0, defaults={"position": 0}
            )
    return {}


def _store(measured: Mapping[int, Mapping[int, Watermarks]]) -> _Stored:
    """Store the watermarks of all sources in one statement; returns their partitions."""
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
    """Stop a source whose stream was deleted and created again; revive partitions that are back."""
    stream_identity.notice(
        source, {number: known for number, known, is_retired in stored if not is_retired}, marks
    )
    if retired := [number for number, _, is_retired in stored if is_retired]:
        with suppress(WarehouseError):
            stream_identity.revive(source, retired, marks)
