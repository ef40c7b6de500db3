"""A batch on its way from being read to being settled, as values.

    Origin         where its messages come from, as its rows say
    Lease          the right to a stream partition, in an epoch
    Intent         what is announced in Postgres before the insert
    PendingBatch   an intent with its messages
    BatchStats     what is counted of a batch when it is settled

The batch as a row of Postgres is ``ingestion.models.Batch``.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Origin:
    """What rows say of where they come from: ``_source`` and ``_partition``.

    ``began_at``: what ClickHouse has from before it came from a stream that is gone.
    """

    source_id: int
    number: int
    began_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """One partition, held by ``owner`` in ``epoch``.

    ``stream_id`` and ``position`` as they were when it was taken. ``began_at`` as of ``Origin``.
    ``crashes``: owners before it, in a row, that died (StreamPartition.crashes).
    """

    partition_id: int
    source_id: int
    number: int
    owner: str
    epoch: int
    stream_id: str = ""
    position: int | None = None
    began_at: datetime | None = None
    crashes: int = 0

    @property
    def origin(self) -> Origin:
        """Of the rows that are read under it."""
        return Origin(self.source_id, self.number, self.began_at)


@dataclass(frozen=True, slots=True)
class Intent:
    """One insert of ``[from_offset, to_offset)``. ``newest``: ms since 1970.

    ``past_views``: typed together with other batches (``grouped_insert``). ``table_version``: the
    version of the table that types it, now and whenever it is repeated.
    """

    origin: Origin
    token: uuid.UUID
    from_offset: int
    to_offset: int
    rows: int
    bytes: int
    newest: int
    deduplicated: int = 0
    is_reread: bool = False
    past_views: bool = False
    table_version: int = 1
    unidentified: int = 0


@dataclass(frozen=True, slots=True)
class PendingBatch:
    """A batch on its way: what is announced, and the messages.

    ``is_condemned``: it is one message that workers died of, for the quarantine.
    """

    intent: Intent
    rows: pa.Table
    is_condemned: bool = False


@dataclass(frozen=True, slots=True)
class BatchStats:
    """A batch that is in the table.

    ``ages``: its rows by age (``freshness.count``), or none where nobody knows them any more; then
    they count in everything but freshness. ``misfits``: its rows that did not fit; None where the
    table must be asked. ``rows``: all that the table has of it, where that was asked too.
    """

    ages: Sequence[int] = ()
    misfits: int | None = None
    rows: int | None = None
