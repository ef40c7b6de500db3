"""The spool of one partition: events in the order of their offsets, one row per request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import zstandard
from django.db import connection

from ingestion.connectors.chunk import Chunk, chunk
from ingestion.connectors.http.metadata import metadata as metadata_of

#: How many events and bytes one read takes at most, unless the first request alone is larger.
READ_EVENTS, READ_BYTES = 50_000, 16 * 1024 * 1024

_READ = """
SELECT first_offset, count, body, received_at, headers FROM (
    SELECT first_offset, count, body, received_at, headers,
           sum(count) OVER before AS events, sum(size::bigint) OVER before AS bytes
    FROM (
        SELECT * FROM ingestion_spooledevents
        WHERE partition_id = %(partition)s AND first_offset < %(end)s
          AND first_offset >= coalesce((
              SELECT max(first_offset) FROM ingestion_spooledevents
              WHERE partition_id = %(partition)s AND first_offset <= %(start)s
          ), %(start)s)
          AND first_offset + count > %(start)s
        ORDER BY first_offset LIMIT 2000
    ) AS following
    WINDOW before AS (ORDER BY first_offset ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
) AS summed
WHERE coalesce(events, 0) < %(events)s AND coalesce(bytes, 0) < %(bytes)s
ORDER BY first_offset
"""
_FORGET = """
WITH gone AS (
    DELETE FROM ingestion_spooledevents
    WHERE partition_id = %(partition)s AND first_offset + count <= %(position)s
    RETURNING octet_length(body) AS bytes
)
UPDATE ingestion_streampartition
SET spooled_bytes = greatest(0, spooled_bytes - (SELECT coalesce(sum(bytes), 0) FROM gone))
WHERE id = %(partition)s
"""
_HIGH = "SELECT id, high_watermark FROM ingestion_streampartition WHERE id = ANY(%s)"


def read(
    partition: int, start: int, end: int, number: int = 0, metadata: Sequence[str] = ()
) -> Chunk | None:
    """The events from ``start`` on and before ``end``; None if there are none.

    Both may lie within a request, because a batch may be read in smaller pieces. ``metadata``: the
    names of the metadata that the chunk has.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _READ,
            {
                "partition": partition,
                "start": start,
                "end": end,
                "events": READ_EVENTS,
                "bytes": READ_BYTES,
            },
        )
        rows = cursor.fetchall()
    offsets: list[int] = []
    times: list[int] = []
    raw: list[bytes | None] = []
    described: list[bytes] = []
    for first, count, body, received_at, headers in rows:
        wanted = range(max(first, start), min(first + count, end))
        offsets.extend(wanted)
        received = _milliseconds(received_at)
        times.extend([received] * len(wanted))
        if metadata:
            described += metadata_of(wanted, received, headers, metadata)
        events = zstandard.decompress(body).split(b"\n")
        raw.extend(events[wanted.start - first : wanted.stop - first])
    if not offsets:
        return None
    return chunk(number, offsets, times, raw, metadata=described if metadata else None)


def read_all(partition: int, start: int, end: int, metadata: Sequence[str] = ()) -> Iterator[Chunk]:
    """All events in ``[start, end)``, with the metadata of these names."""
    while start < end and (found := read(partition, start, end, metadata=metadata)) is not None:
        yield found
        start = found.to_offset


def forget(partition: int, position: int) -> None:
    """Delete the requests that end at or before ``position``."""
    with connection.cursor() as cursor:
        cursor.execute(_FORGET, {"partition": partition, "position": position})


def high_watermarks(partitions: list[int]) -> dict[int, int]:
    """The offset of the next new event of each partition, by the partition's primary key."""
    with connection.cursor() as cursor:
        cursor.execute(_HIGH, [partitions])
        return dict(cursor.fetchall())


def _milliseconds(at: datetime) -> int:
    return int(at.astimezone(UTC).timestamp() * 1000)
