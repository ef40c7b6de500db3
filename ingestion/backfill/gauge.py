"""Measures how much of a file fits, and stops a backfill that would fill the quarantine."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace

import pyarrow as pa

from ingestion.backfill.chunks import Chunk
from ingestion.backfill.errors import MostlyMisfits
from ingestion.backfill.trial import try_out
from ingestion.batches.batch import Intent, Origin, PendingBatch
from ingestion.connectors.chunk import chunk as columnar
from ingestion.ddl.spec import ColumnSpec
from ingestion.models import Backfill

#: ``_source`` of rows that came through no source.
NO_SOURCE = 0
#: The default limit of misfits, in per cent, beyond which a backfill stops.
QUARANTINE_LIMIT = 50
#: Rows that are tried out before any is inserted, and the fewest of which a share of misfits means
#: anything later.
TRIED = 1_000
_FORCE = "Correct the table or the file, or load all of it with --quarantine-limit 0."


@dataclass
class Gauge:
    """Counts the rows and misfits of one run. ``limit``: per cent of misfits; 0 for no limit."""

    limit: int
    rows: int = 0
    misfits: int = 0
    was_tried: bool = False

    def try_out(self, backfill: Backfill, chunk: Chunk, columns: tuple[ColumnSpec, ...]) -> None:
        """Type the run's first new rows without landing them; raises MostlyMisfits."""
        if not self.limit:
            return
        self.was_tried = True
        first = replace(chunk, messages=chunk.messages[:TRIED])
        trial = try_out(batch_of(backfill, uuid.uuid4(), first), columns)
        if self._is_beyond(trial.rows, trial.misfits):
            msg = (
                f"{backfill.name}: nothing was loaded, because {trial.misfits:,} of "
                f"{trial.rows:,} rows from row {chunk.from_row + 1:,} on would not fit "
                f"{backfill.table}: mostly {trial.mostly}. {_FORCE}"
            )
            raise MostlyMisfits(msg)

    def count(self, backfill: Backfill, rows: int, misfits: int) -> None:
        """Add a chunk's rows and misfits; raises MostlyMisfits."""
        self.rows, self.misfits = self.rows + rows, self.misfits + misfits
        if self.rows >= TRIED and self._is_beyond(self.rows, self.misfits):
            msg = (
                f"{backfill.name}: stopped, because {self.misfits:,} of {self.rows:,} rows did not "
                f"fit {backfill.table}. They are in {backfill.table}__quarantine, each with its "
                f"reason; the others are in the table. {_FORCE} The same command continues from "
                "here."
            )
            raise MostlyMisfits(msg)

    def _is_beyond(self, rows: int, misfits: int) -> bool:
        return bool(self.limit) and misfits * 100 > rows * self.limit


def batch_of(
    backfill: Backfill, token: uuid.UUID, chunk: Chunk, table_version: int = 1
) -> PendingBatch:
    """The chunk as a batch under ``token``, with the backfill's start as its rows' time."""
    count = len(chunk.messages)
    times = [int(backfill.started_at.timestamp() * 1000)] * count
    columns = columnar(0, range(chunk.from_row, chunk.to_row), times, chunk.messages)
    intent = Intent(
        origin=Origin(NO_SOURCE, backfill.pk),
        token=token,
        from_offset=chunk.from_row,
        to_offset=chunk.to_row,
        rows=count,
        bytes=columns.bytes,
        newest=columns.newest,
        table_version=table_version,
    )
    return PendingBatch(intent, pa.Table.from_batches([columns.rows]))
