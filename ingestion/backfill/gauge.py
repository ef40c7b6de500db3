"""Measures how much of a file fits, and stops a backfill that would fill the quarantine."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import pyarrow as pa

from ingestion.backfill.chunks import Chunk
from ingestion.backfill.errors import MostlyMisfits
from ingestion.backfill.trial import Trial, try_out
from ingestion.batches.batch import Intent, Origin, PendingBatch
from ingestion.connectors.chunk import chunk as columnar
from ingestion.connectors.metadata_json import written
from ingestion.ddl.metadata import wanted
from ingestion.ddl.spec import ColumnSpec
from ingestion.models import Backfill

#: ``_source`` of rows that came through no source.
NO_SOURCE = 0
#: The default limit of misfits, in per cent, beyond which a backfill stops.
QUARANTINE_LIMIT = 50
#: Rows that are tried out before any is inserted, and the fewest of which a share of misfits means
#: anything later.
TRIED = 10_000
#: The most bytes of them that are held meanwhile, since a row may be large.
TRIED_BYTES = 128 << 20
_FORCE = "Correct the table or the file, or load all of it with --quarantine-limit 0."


@dataclass
class Gauge:
    """Counts the rows and misfits of one run. ``limit``: per cent of misfits; 0 for no limit."""

    limit: int
    rows: int = 0
    misfits: int = 0
    was_tried: bool = False

    @property
    def has_to_try(self) -> bool:
        """Whether the run's first new rows are still to be tried."""
        return bool(self.limit) and not self.was_tried

    def tried(
        self, backfill: Backfill, chunks: Iterable[Chunk], columns: tuple[ColumnSpec, ...]
    ) -> Iterator[Chunk]:
        """The chunks, once the first rows of them have been typed without landing them.

        Raises MostlyMisfits if too many would not fit, and WarehouseError.
        """
        self.was_tried = True
        chunks = iter(chunks)
        held: list[Chunk] = []
        trials: list[Trial] = []
        rows = size = 0
        while rows < TRIED and size < TRIED_BYTES and (chunk := next(chunks, None)):
            held.append(chunk)
            first = replace(chunk, messages=chunk.messages[: TRIED - rows])
            batch = batch_of(backfill, uuid.uuid4(), first, names=wanted(columns))
            trials.append(try_out(batch, columns))
            rows += len(first.messages)
            size += sum(map(len, chunk.messages))
        self._judge(backfill, held, trials)
        return chain(held, chunks)

    def _judge(self, backfill: Backfill, held: list[Chunk], trials: list[Trial]) -> None:
        rows, reasons = sum(trial.rows for trial in trials), Counter[str]()
        for trial in trials:
            reasons.update(trial.reasons)
        misfits = reasons.total()
        if self._is_beyond(rows, misfits):
            mostly = max(sorted(reasons), key=lambda reason: reasons[reason])
            msg = (
                f"{backfill.name}: nothing was loaded, because {misfits:,} of {rows:,} rows from "
                f"row {held[0].from_row + 1:,} on would not fit {backfill.table}: mostly {mostly}. "
                f"{_FORCE}"
            )
            raise MostlyMisfits(msg)

    def count(self, backfill: Backfill, rows: int, misfits: int) -> None:
        """Add a chunk's rows and misfits; raises MostlyMisfits."""
        self.rows, self.misfits = self.rows + rows, self.misfits + misfits
        if self.rows >= TRIED and self._is_beyond(self.rows, self.misfits):
            msg = (
                f"{backfill.name}: stopped, because {self.misfits:,} of {self.rows:,} rows did not "
                f"fit {backfill.table}. They are in {backfill.table}__quarantine, each with its "
                "reason; the others are in the table. Correct the table, or load all of it with "
                "--quarantine-limit 0. The same command continues from here."
            )
            raise MostlyMisfits(msg)

    def _is_beyond(self, rows: int, misfits: int) -> bool:
        return bool(self.limit) and misfits * 100 > rows * self.limit


def batch_of(
    backfill: Backfill,
    token: uuid.UUID,
    chunk: Chunk,
    table_version: int = 1,
    names: Sequence[str] = (),
) -> PendingBatch:
    """The chunk as a batch under ``token``, with the backfill's start as its rows' time.

    ``names``: the metadata that the table's columns read.
    """
    count = len(chunk.messages)
    times = [int(backfill.started_at.timestamp() * 1000)] * count
    rows = range(chunk.from_row, chunk.to_row)
    metadata = [_metadata(backfill, row, names) for row in rows] if names else None
    columns = columnar(0, rows, times, chunk.messages, metadata=metadata)
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


def _metadata(backfill: Backfill, row: int, names: Sequence[str]) -> bytes:
    """What a file says of a row: its own name, and the number of the row, from 1."""
    known = {"file": backfill.name, "row": row + 1}
    return written({name: known.get(name) for name in names})
