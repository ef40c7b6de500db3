"""Settles batches that are acknowledged to the broker: counts their rows and closes them.

All batches of about a second are counted together, which keeps each batch's own path short: one
query on the quarantine finds how many rows of all of them did not fit, and one more how many
filters left out if the table has any. The statement that moves a
batch from ``done`` to ``settled`` also counts it, so that no crash counts it twice or not at all.
It is counted at its partition, in the minute in which it was done, and in its tenant's usage of the
day.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from django.db import connection

from ingestion.batches.batch import BatchStats

_SETTLE = """
WITH counted AS (
    SELECT token, rows, quarantined, filtered, ages::int[] AS ages
    FROM unnest(%(tokens)s::uuid[], %(rows)s::bigint[], %(quarantined)s::bigint[],
                %(filtered)s::bigint[], %(ages)s::text[])
        AS c(token, rows, quarantined, filtered, ages)
), settled AS (
    UPDATE ingestion_batch b
    SET state = 'settled', rows = coalesce(c.rows, b.rows), quarantined = c.quarantined,
        filtered = c.filtered
    FROM counted c WHERE b.token = c.token AND b.state = 'done'
    RETURNING b.partition_id, b.rows, b.bytes, b.quarantined, b.filtered, b.done_at, c.ages,
              -- A queue's batch that landed in part has fewer rows than were announced.
              least(b.unidentified, b.rows) AS unidentified
), used AS (
    -- Events over HTTP are counted when they are received, by key.
    INSERT INTO tenants_usage AS u (tenant_id, day, events, bytes)
    SELECT s.tenant_id, (b.done_at AT TIME ZONE 'UTC')::date AS day, sum(b.rows), sum(b.bytes)
    FROM settled b
    JOIN ingestion_streampartition p ON p.id = b.partition_id
    JOIN ingestion_source s ON s.id = p.source_id
    WHERE s.connection_id IS NOT NULL
    GROUP BY s.tenant_id, day ORDER BY s.tenant_id, day
    ON CONFLICT (tenant_id, day, key_id) DO UPDATE
    SET events = u.events + excluded.events, bytes = u.bytes + excluded.bytes
), summed AS (
    SELECT partition_id, sum(rows) AS rows, sum(quarantined) AS quarantined,
           sum(filtered) AS filtered, sum(unidentified) AS unidentified
    FROM settled GROUP BY partition_id
), locked AS MATERIALIZED (
    -- Every statement locks partitions in this order, so that no two wait for each other.
    SELECT p.id FROM ingestion_streampartition p JOIN summed s ON s.partition_id = p.id
    ORDER BY p.id FOR NO KEY UPDATE OF p
), moved AS (
    UPDATE ingestion_streampartition p
    SET landed = p.landed + s.rows - s.quarantined - s.filtered,
        quarantined = p.quarantined + s.quarantined, filtered = p.filtered + s.filtered,
        unidentified = p.unidentified + s.unidentified
    FROM summed s JOIN locked ON locked.id = s.partition_id WHERE p.id = s.partition_id
), timed AS (
    SELECT p.source_id, b.rows, b.bytes, b.quarantined, b.filtered, b.ages,
           greatest(date_trunc('minute', b.done_at),
                    CASE WHEN s.counted_from <= b.done_at THEN s.counted_from END) AS began_at
    FROM settled b
    JOIN ingestion_streampartition p ON p.id = b.partition_id
    JOIN ingestion_source s ON s.id = p.source_id
), aged AS (
    SELECT source_id, began_at, array_agg(count ORDER BY place) AS ages
    FROM (
        SELECT source_id, began_at, place, sum(count)::int AS count
        FROM timed CROSS JOIN unnest(ages) WITH ORDINALITY AS u(count, place)
        GROUP BY source_id, began_at, place
    ) AS summed_ages GROUP BY source_id, began_at
)
INSERT INTO ingestion_sourceminute AS m
    (source_id, began_at, rows, quarantined, filtered, bytes, lag, lag_seconds, ages)
SELECT t.source_id, t.began_at, sum(t.rows), sum(t.quarantined), sum(t.filtered), sum(t.bytes),
       0, 0, coalesce(min(a.ages), '{}')
FROM timed t LEFT JOIN aged a ON a.source_id = t.source_id AND a.began_at = t.began_at
GROUP BY t.source_id, t.began_at ORDER BY t.source_id, t.began_at
ON CONFLICT (source_id, began_at) DO UPDATE
SET rows = m.rows + excluded.rows, quarantined = m.quarantined + excluded.quarantined,
    filtered = m.filtered + excluded.filtered, bytes = m.bytes + excluded.bytes,
    ages = ARRAY(
        SELECT coalesce(o, 0) + coalesce(n, 0)
        FROM unnest(m.ages, excluded.ages) WITH ORDINALITY AS u(o, n, place) ORDER BY place
    )
"""


def close(batches: Mapping[uuid.UUID, BatchStats]) -> None:
    """Count and close batches, of any tables, in one statement. Ignores those settled already."""
    if not batches:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            _SETTLE,
            {
                "tokens": list(batches),
                "rows": [stats.rows for stats in batches.values()],
                "quarantined": [stats.misfits or 0 for stats in batches.values()],
                "filtered": [stats.filtered for stats in batches.values()],
                "ages": [f"{{{','.join(map(str, stats.ages))}}}" for stats in batches.values()],
            },
        )
