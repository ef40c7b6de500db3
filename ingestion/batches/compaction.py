"""Folds settled batches into ranges, so that the ledger of a busy source stays small."""

from __future__ import annotations

from datetime import timedelta

from django.db import connection

#: How long settled batches are kept one by one, counted from the end of their hour.
KEPT = timedelta(hours=1)
#: The most batches that one call folds.
FOLDED = 50_000

# A range ends at a gap between offsets and at the end of an hour. The batches of an hour are folded
# in one call, unless there are more than FOLDED.
_FOLD = """
WITH old AS (
    SELECT * FROM ingestion_batch
    WHERE state = 'settled'
      AND done_at < date_trunc('hour', statement_timestamp() - %(kept)s::interval)
    ORDER BY id LIMIT %(most)s FOR UPDATE SKIP LOCKED
), marked AS (
    SELECT *, date_trunc('hour', done_at) AS hour,
           CASE WHEN from_offset = lag(to_offset) OVER following THEN 0 ELSE 1 END AS begins
    FROM old
    WINDOW following AS (
        PARTITION BY partition_id, incarnation, is_reread, date_trunc('hour', done_at)
        ORDER BY from_offset, id
    )
), numbered AS (
    SELECT *, sum(begins) OVER (
        PARTITION BY partition_id, incarnation, is_reread, hour ORDER BY from_offset, id
    ) AS island
    FROM marked
), folded AS (
    INSERT INTO ingestion_foldedbatches
        (partition_id, incarnation, is_reread, from_offset, to_offset, batches, rows, deduplicated,
         quarantined, filtered, bytes, opened_at, done_at)
    SELECT partition_id, incarnation, is_reread, min(from_offset), max(to_offset), count(*),
           sum(rows), sum(deduplicated), sum(quarantined), sum(filtered), sum(bytes),
           min(opened_at), max(done_at)
    FROM numbered GROUP BY partition_id, incarnation, is_reread, hour, island
)
DELETE FROM ingestion_batch USING old WHERE ingestion_batch.id = old.id
"""


def fold() -> int:
    """Fold settled batches older than KEPT; returns how many. One statement: all or nothing."""
    with connection.cursor() as cursor:
        cursor.execute(_FOLD, {"kept": f"{KEPT.total_seconds()} seconds", "most": FOLDED})
        return int(cursor.rowcount)
