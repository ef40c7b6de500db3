"""Measuring: where streams begin and end, as the broker says, and which partitions there are."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from django.db import connection
from django.db.models import Q

from ingestion.connectors.base import Connector, Watermarks
from ingestion.connectors.registry import connect
from ingestion.consume import settle, trouble
from ingestion.consume.lease import runnable
from ingestion.errors import ConnectorError
from ingestion.models import Connection, ConnectionKind, Source, StreamPartition
from tenants.warehouse.errors import WarehouseError

_STORE = """
INSERT INTO ingestion_streampartition AS p
    (source_id, number, low_watermark, high_watermark, measured_at, lease_owner, lease_expires_at,
     epoch, landed, quarantined, bytes, lost, spooled_bytes)
SELECT %(source)s, m.number, m.low, m.high, statement_timestamp(), '', statement_timestamp(),
       0, 0, 0, 0, 0, 0
FROM unnest(%(numbers)s::int[], %(low)s::bigint[], %(high)s::bigint[]) AS m(number, low, high)
ORDER BY m.number
ON CONFLICT (source_id, number) DO UPDATE
SET low_watermark = excluded.low_watermark, high_watermark = excluded.high_watermark,
    measured_at = excluded.measured_at
"""


def measure_connection(connection_id: int) -> None:
    """Store the watermarks of all sources on a connection; new partitions get their rows."""
    on = Connection.objects.get(pk=connection_id)
    sources = list(chosen(runnable() & Q(connection=on)))
    if not sources:
        return
    connector = connect(on)
    try:
        store(connector, sources)
    finally:
        connector.close()
    if on.kind == ConnectionKind.KAFKA:
        settle_left(sources)


def settle_left(sources: Collection[Source]) -> None:
    """Settle what crashed owners left; a table that can't be asked is left for the next time."""
    for source in sources:
        try:
            settle.settle_left(source)
        except WarehouseError:
            continue


def discover(connector: Connector, connection_id: int | None) -> None:
    """Give sources that have no partitions yet their rows."""
    new = runnable() & Q(connection_id=connection_id, partitions=None)
    if sources := list(chosen(new)):
        store(connector, sources)


def chosen(condition: Q) -> Collection[Source]:
    """The sources with all that consuming needs to know of them."""
    return Source.objects.filter(condition).select_related(
        "tenant__warehouse", "table__tenant__warehouse", "connection__tenant"
    )


def store(connector: Connector, sources: Collection[Source]) -> None:
    """Measure and store; what fails is noted at the sources that it concerns."""
    try:
        measured = connector.measure(sources)
    except ConnectorError as error:
        measured = dict.fromkeys((source.pk for source in sources), error)
    for source in sources:
        found = measured[source.pk]
        if not isinstance(found, ConnectorError):
            _store(source, found)
        elif source.error != str(found) or not source.attempts:
            trouble.note_exception(source, found)


def _store(source: Source, marks: Mapping[int, Watermarks]) -> None:
    if source.connection_id is None:
        # The events endpoint gives out offsets from this row; nothing else may set its watermark.
        StreamPartition.objects.get_or_create(source=source, number=0, defaults={"position": 0})
        return
    with connection.cursor() as cursor:
        cursor.execute(
            _STORE,
            {
                "source": source.pk,
                "numbers": list(marks),
                "low": [one.low for one in marks.values()],
                "high": [one.high for one in marks.values()],
            },
        )
