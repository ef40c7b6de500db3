"""Reads a table's quarantine: reasons, counts, first and last time, and the newest messages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ingestion.landing.addresses import place_of
from ingestion.models import Source, Table
from tenants.warehouse import client

#: How many bytes of a message are fetched; the quarantine itself keeps it whole.
SHOWN_BYTES = 2_000
#: How many groups are returned at most, the largest first.
GROUPS = 200


@dataclass(frozen=True, slots=True)
class MisfitGroup:
    """Messages that did not fit for the same reason, in the same column.

    ``value``, ``raw``, ``source``, ``partition``, ``offset`` describe the newest, as an example.
    """

    reason: str
    column: str
    expected: str
    messages: int
    first_seen: datetime
    last_seen: datetime
    value: str
    raw: str
    source: int
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class QuarantinedMessage:
    """One message; ``raw`` and ``value`` are cut to ``SHOWN_BYTES``, broken UTF-8 replaced."""

    reason: str
    column: str
    expected: str
    value: str
    source: int
    partition: int
    offset: int
    ingested_at: datetime
    raw: str


#: The table is sorted by (_ingested_at, _source, _partition, _offset), so the join reads whole rows
#: only for the examples.
_GROUPS = """
WITH chosen AS (
    SELECT reason, `column`, count() AS messages, min(_ingested_at) AS first_seen,
           max(_ingested_at) AS last_seen,
           max(tuple(_ingested_at, _source, _partition, _offset)) AS place
    FROM {at}
    WHERE {{source:UInt64}} IN (0, _source)
      AND ({{seconds:UInt32}} = 0 OR _ingested_at > now() - {{seconds:UInt32}})
    GROUP BY reason, `column` ORDER BY messages DESC, reason, `column` LIMIT {{limit:UInt32}}
)
SELECT chosen.reason AS reason, chosen.`column` AS `column`, chosen.messages AS messages,
       chosen.first_seen AS first_seen, chosen.last_seen AS last_seen,
       example.expected AS expected, example.value_cut AS value, example.raw_cut AS raw,
       tupleElement(chosen.place, 2) AS source, tupleElement(chosen.place, 3) AS partition,
       tupleElement(chosen.place, 4) AS offset
FROM chosen LEFT ANY JOIN (
    SELECT tuple(_ingested_at, _source, _partition, _offset) AS place, expected,
           {value} AS value_cut, {raw} AS raw_cut
    FROM {at}
    WHERE (_ingested_at, _source, _partition, _offset) IN (
        SELECT tupleElement(place, 1), tupleElement(place, 2),
               tupleElement(place, 3), tupleElement(place, 4)
        FROM chosen
    )
) AS example ON chosen.place = example.place
ORDER BY messages DESC, reason, `column`
"""


def groups(
    table: Table, *, source: Source | None = None, since: timedelta | None = None
) -> list[MisfitGroup]:
    """Misfits grouped by reason and column, the largest group first; raises WarehouseError.

    ``source`` limits them to one source, ``since`` to those received within that time before now.
    The list is empty if ClickHouse has never created the table.
    """
    if not table.applied:
        return []
    sql = _GROUPS.format(at=place_of(table).quarantine, value=_cut("value"), raw=_cut("raw"))
    parameters = {
        "source": source.pk if source else 0,
        "seconds": int(since.total_seconds()) if since else 0,
        "limit": GROUPS,
    }
    return [MisfitGroup(**_aware(row)) for row in client.rows(sql, parameters)]


def newest(
    table: Table,
    limit: int = 50,
    *,
    reason: str = "",
    column: str | None = None,
    source: Source | None = None,
) -> list[QuarantinedMessage]:
    """The newest messages, optionally of one reason, column or source; raises WarehouseError."""
    if not table.applied:
        return []
    sql = (
        "SELECT reason, `column`, expected, value_shown AS value, _source AS source, "
        "_partition AS partition, _offset AS offset, _ingested_at AS ingested_at, "
        "raw_shown AS raw FROM ("
        f"SELECT *, {_cut('value')} AS value_shown, {_cut('raw')} AS raw_shown "
        f"FROM {place_of(table).quarantine} "
        "WHERE {reason:String} IN ('', reason) AND {source:UInt64} IN (0, _source) "
        "AND ({any_column:Bool} OR `column` = {column:String}) "
        "ORDER BY _ingested_at DESC, _offset DESC LIMIT {limit:UInt32})"
    )
    parameters = {
        "reason": reason,
        "source": source.pk if source else 0,
        "any_column": column is None,
        "column": column or "",
        "limit": limit,
    }
    return [QuarantinedMessage(**_aware(row)) for row in client.rows(sql, parameters)]


@dataclass(frozen=True, slots=True)
class RefusedRange:
    """How many messages of a range of offsets are in quarantine, and the first of them."""

    messages: int
    first: tuple[RefusedMessage, ...]


@dataclass(frozen=True, slots=True)
class RefusedMessage:
    """Why the message at ``offset`` did not fit; ``value`` is cut to ``SHOWN_BYTES``."""

    offset: int
    reason: str
    column: str
    expected: str
    value: str


def within(
    source: Source, partition: int, offsets: range, since: timedelta, limit: int = 100
) -> RefusedRange:
    """Which of ``offsets`` are in quarantine; raises WarehouseError.

    All of them must have been received within ``since`` before now.
    """
    sql = (
        "SELECT _offset AS offset, reason, `column`, expected, shown AS value, "
        "count() OVER () AS messages FROM ("
        f"SELECT _offset, reason, `column`, expected, {_cut('value')} AS shown "
        f"FROM {place_of(source.table).quarantine} "
        "WHERE _ingested_at > now() - {seconds:UInt32} AND _source = {source:UInt64} "
        "AND _partition = {partition:Int32} AND _offset BETWEEN {first:Int64} AND {last:Int64} "
        "LIMIT 1 BY _offset) ORDER BY offset LIMIT {limit:UInt32}"
    )
    parameters = {
        "seconds": int(since.total_seconds()),
        "source": source.pk,
        "partition": partition,
        "first": offsets[0],
        "last": offsets[-1],
        "limit": limit,
    }
    rows = client.rows(sql, parameters)
    messages = rows[0]["messages"] if rows else 0
    for row in rows:
        del row["messages"]
    return RefusedRange(messages, tuple(RefusedMessage(**row) for row in rows))


def _cut(column: str) -> str:
    return f"toValidUTF8(substring({column}, 1, {SHOWN_BYTES}))"


def _aware(row: dict[str, Any]) -> dict[str, Any]:
    """The row with aware times: the client returns UTC times without a time zone."""
    times = {
        name: value.replace(tzinfo=UTC)
        for name, value in row.items()
        if isinstance(value, datetime) and value.tzinfo is None
    }
    return row | times
