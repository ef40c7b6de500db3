"""Policy: which readers may be polled for more, and which buffers have a batch that is due."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from ingestion.consume.buffer import PartitionBuffer
from ingestion.consume.recovery import poison_probe
from ingestion.consume.scheduling.batch_policy import BatchPolicy
from ingestion.consume.scheduling.candidate import Candidate
from ingestion.consume.source_reader import SourceReader


@dataclass(frozen=True, slots=True)
class Due:
    """``batches`` are due. ``company`` are not due yet, and may fill up an insert of theirs."""

    batches: list[Candidate]
    company: list[Candidate]


def readers_below_share(
    readers: Collection[SourceReader], policy: BatchPolicy
) -> list[SourceReader]:
    """Readers whose tenant holds less than its share of the slice's memory."""
    held: Counter[int] = Counter()
    for reader in readers:
        held[reader.tenant_id] += reader.held_bytes
    total = sum(_weights(readers).values())
    return [
        reader
        for reader in readers
        if held[reader.tenant_id] < policy.share(_weight(reader), total)
    ]


def due_batches(
    readers: Collection[SourceReader], policy: BatchPolicy, now: float, small_cost: float
) -> Due:
    """The batches that are due, and those that may go along with them.

    ``now``: seconds of the slice's clock. ``small_cost``: ``cost`` of ``BatchPolicy.ages``. All
    batches of a reader are due if its own messages fill its tenant's share of the memory, since it
    can't be polled before some of them land.
    """
    candidates = [
        Candidate(reader, buffer) for reader in readers for buffer in reader.buffers.values()
    ]
    busy = Counter(
        candidate.tenant_id
        for candidate in candidates
        if candidate.buffer.waiting or candidate.buffer.under_way
    )
    weights = _weights(readers)
    ages = policy.ages(busy, weights, small_cost)
    total = sum(weights.values())
    full = {
        id(reader)
        for reader in readers
        if reader.held_bytes >= policy.share(_weight(reader), total)
    }
    due = Due([], [])
    for candidate in candidates:
        reader, buffer = candidate.reader, candidate.buffer
        if not buffer.waiting or buffer.under_way:
            continue
        if is_due(buffer, policy, now, ages[reader.tenant_id]) or id(reader) in full:
            due.batches.append(candidate)
        elif buffer.since <= now - policy.seconds:
            due.company.append(candidate)
    return due


def is_due(buffer: PartitionBuffer, policy: BatchPolicy, now: float, age: float) -> bool:
    """Whether the buffer's messages should become a batch now; ``age`` in seconds makes them due.

    While a batch of the partition is under way, the next one only grows.
    """
    if buffer.under_way is not None or not buffer.waiting:
        return False
    if buffer.caution is not None:
        return poison_probe.may_try(buffer)
    if buffer.enough is not None and buffer.rows >= buffer.enough:
        return True
    backlog = buffer.high - buffer.waiting[-1].to_offset > policy.rows
    return policy.is_due(buffer.rows, buffer.bytes, now - buffer.since, age, backlog=backlog)


def _weight(reader: SourceReader) -> int:
    # Forms and the API refuse a weight of 0; a row that was changed in Postgres may have it.
    return max(1, reader.source.tenant.weight)


def _weights(readers: Collection[SourceReader]) -> dict[int, int]:
    return {reader.tenant_id: _weight(reader) for reader in readers}
