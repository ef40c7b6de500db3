"""The values that describe a batch from reading to settling.

    Origin         the source and partition that its messages come from
    Lease          the right to a stream partition, in an epoch
    Intent         what Postgres is told of the batch before its insert
    PendingBatch   an intent with its messages
    BatchStats     what is counted when the batch is settled

``ingestion.models.Batch`` is the batch's row in Postgres.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Origin:
    """Where messages come from; rows carry it as ``_source`` and ``_partition``.

    ``began_at``: when the partition's present incarnation began, by ClickHouse's clock. Earlier
    rows come from a stream that no longer exists. None: the stream was never made again.
    """

    source_id: int
    number: int
    began_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of ``owner`` to one partition, in ``epoch``.

    ``stream_id`` and ``position`` are the partition's when the lease was taken. ``began_at`` is
    Origin's. ``crashes``: how many owners in a row died before this one (StreamPartition.crashes).
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
        """The origin of the messages that are read under this lease."""
        return Origin(self.source_id, self.number, self.began_at)


@dataclass(frozen=True, slots=True)
class Intent:
    """What Postgres stores of a batch before its insert: the messages ``[from_offset, to_offset)``.

    ``newest``: the newest timestamp, in ms since 1970. ``deduplicated``: messages left out since
    the table had them. ``is_reread``: the table may have messages of the range from other batches.
    ``past_views``: typed together with other batches (``grouped_insert``). ``table_version``: the
    version of the table that types it, now and whenever it is repeated. ``unidentified``: messages
    of a queue without a message_id. ``is_queue``: the broker may deliver its messages to another
    worker, in another batch (``landing.fence``).
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
    is_queue: bool = False


@dataclass(frozen=True, slots=True)
class PendingBatch:
    """A batch that is to be inserted: its intent and its messages.

    ``is_condemned``: it is a single message that workers died of, and goes into the quarantine.
    """

    intent: Intent
    rows: pa.Table
    is_condemned: bool = False


@dataclass(frozen=True, slots=True)
class BatchStats:
    """What is counted of a batch that is in the table.

    ``ages``: its rows by age (``freshness.count``). Empty if the ages are unknown, as after a
    crash; the rows then count everywhere except in freshness. ``misfits``: rows that did not fit;
    None if ClickHouse must be asked. ``rows``: rows that table and quarantine have of it, if that
    was asked, filtered messages included. ``filtered``: messages that a filter left out.
    """

    ages: Sequence[int] = ()
    misfits: int | None = None
    rows: int | None = None
    filtered: int = 0
