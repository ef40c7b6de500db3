"""Folding: settled batches become ranges of the ledger, so that a busy source's stays small."""

from __future__ import annotations

from datetime import timedelta

from django.db import connection

#: Batches that were settled are kept one by one for so long, and to the end of that hour.
KEPT = timedelta(hours=1)
#: Batches that one call folds at most.
FOLDED = 50_000

# A range ends where offsets do not follow on, and where an hour does. The batches of an hour are
# folded at once, unless there are more of them than one call takes.
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
         quarantined, bytes, opened_at, done_at)
    SELECT partition_id, incarnation, is_reread, min(from_offset), max(to_offset), count(*),
           sum(rows), sum(deduplicated), sum(quarantined), sum(bytes), min(opened_at), max(done_at)
    FROM numbered GROUP BY partition_id, incarnation, is_reread, hour, island
)
DELETE FROM ingestion_batch USING old WHERE ingestion_batch.id = old.id
"""


def fold() -> int:
    """Fold settled batches that are old; returns how many. One statement: all of it or nothing."""
    with connection.cursor() as cursor:
        cursor.execute(_FOLD, {"kept": f"{KEPT.total_seconds()} seconds", "most": FOLDED})
        return int(cursor.rowcount)
