"""What is in a table's quarantine: why, how much, and the newest messages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ingestion.consume.inbox import address
from ingestion.models import Table
from tenants.warehouse import client

#: Bytes of a message that are fetched; the quarantine keeps it whole.
SHOWN_BYTES = 2_000


@dataclass(frozen=True, slots=True)
class Group:
    """Messages that did not fit for the same reason, in the same column."""

    reason: str
    column: str
    expected: str
    messages: int
    newest: datetime


@dataclass(frozen=True, slots=True)
class Misfit:
    """One message; ``raw`` is cut to ``SHOWN_BYTES``, with broken UTF-8 replaced."""

    reason: str
    column: str
    expected: str
    value: str
    source: int
    partition: int
    offset: int
    ingested_at: datetime
    raw: str


def groups(table: Table) -> list[Group]:
    """By reason and column, the largest first; raises WarehouseError."""
    sql = (
        "SELECT reason, `column`, any(expected) AS expected, count() AS messages, "
        f"max(_ingested_at) AS newest FROM {address(table).quarantine} "
        "GROUP BY reason, `column` ORDER BY messages DESC"
    )
    return [Group(**row) for row in client.rows(sql)]


def newest(table: Table, limit: int = 50, reason: str = "") -> list[Misfit]:
    """The newest messages, of one reason or all; raises WarehouseError."""
    sql = (
        "SELECT reason, `column`, expected, value, _source AS source, _partition AS partition, "
        "_offset AS offset, _ingested_at AS ingested_at, "
        f"toValidUTF8(substring(raw, 1, {SHOWN_BYTES})) AS raw FROM {address(table).quarantine} "
        "WHERE {reason:String} IN ('', reason) ORDER BY _ingested_at DESC LIMIT {limit:UInt32}"
    )
    return [Misfit(**row) for row in client.rows(sql, {"reason": reason, "limit": limit})]
