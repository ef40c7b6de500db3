"""Writes a batch's intent before its insert, and marks the batch done after it.

Each is one statement for many batches, with the fence inside: it changes nothing for an owner whose
lease has gone to another (``lease_owner`` and ``epoch`` no longer match), and returns the tokens of
the batches that it changed.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import connection

from ingestion.batches.batch import Intent, Lease

_OPEN = """
WITH wanted AS (
    SELECT * FROM unnest(
        %(partitions)s::bigint[], %(epochs)s::bigint[], %(tokens)s::uuid[], %(starts)s::bigint[],
        %(ends)s::bigint[], %(rows)s::bigint[], %(deduplicated)s::bigint[], %(reread)s::bool[],
        %(past_views)s::bool[], %(bytes)s::bigint[], %(table_versions)s::int[],
        %(unidentified)s::bigint[]
    ) AS w(partition_id, epoch, token, from_offset, to_offset, rows, deduplicated, is_reread,
           past_views, bytes, table_version, unidentified)
), locked AS MATERIALIZED (
    -- Every statement locks partitions in this order, so that no two wait for each other.
    SELECT p.id FROM ingestion_streampartition p JOIN wanted w ON w.partition_id = p.id
    ORDER BY p.id FOR NO KEY UPDATE OF p
), held AS (
    UPDATE ingestion_streampartition p
    SET lease_expires_at = statement_timestamp() + %(lease)s
    FROM wanted w
    JOIN locked ON locked.id = w.partition_id
    JOIN ingestion_streampartition q ON q.id = w.partition_id
    JOIN ingestion_source s ON s.id = q.source_id
    JOIN ingestion_table t ON t.id = s.table_id
    WHERE p.id = w.partition_id AND p.epoch = w.epoch AND p.lease_owner = %(owner)s
      AND p.position = w.from_offset AND t.version = w.table_version
    RETURNING p.id, p.incarnation
)
INSERT INTO ingestion_batch
    (token, partition_id, from_offset, to_offset, epoch, state, rows, deduplicated, is_reread,
     past_views, incarnation, quarantined, bytes, opened_at, table_version,
     unidentified)
SELECT token, partition_id, from_offset, to_offset, epoch, 'intent', rows, deduplicated, is_reread,
       past_views, incarnation, 0, bytes, statement_timestamp(), table_version,
       unidentified
FROM wanted JOIN held ON held.id = wanted.partition_id
RETURNING token
"""

_FINISH = """
WITH finished AS (
    SELECT * FROM unnest(
        %(partitions)s::bigint[], %(epochs)s::bigint[], %(tokens)s::uuid[], %(starts)s::bigint[],
        %(ends)s::bigint[], %(rows)s::bigint[], %(deduplicated)s::bigint[], %(bytes)s::bigint[],
        %(newest)s::timestamptz[]
    ) AS f(partition_id, epoch, token, from_offset, to_offset, rows, deduplicated, bytes, newest)
), locked AS MATERIALIZED (
    -- Every statement locks partitions in this order, so that no two wait for each other.
    SELECT p.id FROM ingestion_streampartition p JOIN finished f ON f.partition_id = p.id
    ORDER BY p.id FOR NO KEY UPDATE OF p
), moved AS (
    UPDATE ingestion_streampartition p
    SET position = f.to_offset, bytes = p.bytes + f.bytes,
        high_watermark = greatest(p.high_watermark, f.to_offset),
        last_event_at = greatest(p.last_event_at, f.newest),
        last_landed_at = statement_timestamp()
    FROM finished f JOIN locked ON locked.id = f.partition_id
    WHERE p.id = f.partition_id AND p.epoch = f.epoch AND p.lease_owner = %(owner)s
      AND p.position = f.from_offset
    RETURNING p.id
)
UPDATE ingestion_batch b
SET state = 'done', done_at = statement_timestamp(), rows = f.rows,
    deduplicated = f.deduplicated, to_offset = f.to_offset
FROM finished f JOIN moved m ON m.id = f.partition_id
WHERE b.token = f.token AND b.state = 'intent'
RETURNING b.token
"""


def announce(owner: str, intents: Mapping[Lease, Intent]) -> set[uuid.UUID]:
    """Store the intents; returns the tokens of those whose lease and table version still hold.

    Renews the leases in the same statement, for MILLRACE_LEASE_SECONDS.
    """
    lease = f"{settings.MILLRACE_LEASE_SECONDS} seconds"
    return _run(_OPEN, owner, intents, lease=lease)


def finish(owner: str, intents: Mapping[Lease, Intent]) -> set[uuid.UUID]:
    """Mark batches done and move positions; returns the tokens of those whose lease still holds.

    A batch takes ``rows``, ``deduplicated`` and ``to_offset`` from its intent here: a queue's batch
    that landed in part ends with what landed.
    """
    newest = [_time(intent.newest) for intent in intents.values()]
    return _run(_FINISH, owner, intents, newest=newest)


def _run(
    sql: str, owner: str, intents: Mapping[Lease, Intent], **parameters: Any
) -> set[uuid.UUID]:
    if not intents:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(sql, {"owner": owner} | _columns(intents) | parameters)
        return {token for (token,) in cursor.fetchall()}


def _columns(intents: Mapping[Lease, Intent]) -> dict[str, list[Any]]:
    ordered = intents.values()
    return {
        "partitions": [lease.partition_id for lease in intents],
        "epochs": [lease.epoch for lease in intents],
        "tokens": [intent.token for intent in ordered],
        "starts": [intent.from_offset for intent in ordered],
        "ends": [intent.to_offset for intent in ordered],
        "rows": [intent.rows for intent in ordered],
        "reread": [intent.is_reread for intent in ordered],
        "past_views": [intent.past_views for intent in ordered],
        "deduplicated": [intent.deduplicated for intent in ordered],
        "unidentified": [intent.unidentified for intent in ordered],
        "bytes": [intent.bytes for intent in ordered],
        "table_versions": [intent.table_version for intent in ordered],
    }


def _time(milliseconds: int) -> datetime | None:
    """A timestamp in ms since 1970, or None if it is 0 or less.

    A sender's clock may be wrong: a time in the future counts as now.
    """
    past = min(milliseconds / 1000, time.time())
    return datetime.fromtimestamp(past, UTC) if past > 0 else None
