"""Policy: which readers may be polled for more, and which buffers may be cut into a batch."""

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
    """``batches`` have waited long enough, or are full. ``company`` may go along with them."""

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
    """What has waited for a batch's age, and what may go along with that.

    ``now`` in seconds, as the buffers know it. ``small_cost`` as of ``BatchPolicy.ages``.
    """
    pairs = [(reader, buffer) for reader in readers for buffer in reader.buffers.values()]
    busy = Counter(
        reader.tenant_id for reader, buffer in pairs if buffer.waiting or buffer.under_way
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
    for reader, buffer in pairs:
        if not buffer.waiting or buffer.under_way:
            continue
        if is_due(buffer, policy, now, ages[reader.tenant_id]) or id(reader) in full:
            due.batches.append(Candidate(reader, buffer))
        elif buffer.since <= now - policy.seconds:
            due.company.append(Candidate(reader, buffer))
    return due


def is_due(buffer: PartitionBuffer, policy: BatchPolicy, now: float, age: float) -> bool:
    """Whether a batch should be cut that is so old; while one is under way the next grows."""
    if buffer.under_way is not None or not buffer.waiting:
        return False
    if buffer.caution is not None:
        return poison_probe.may_try(buffer)
    if buffer.enough is not None and buffer.rows >= buffer.enough:
        return True
    backlog = buffer.high - buffer.waiting[-1].to_offset > policy.rows
    return policy.is_due(buffer.rows, buffer.bytes, now - buffer.since, age, backlog=backlog)


def _weight(reader: SourceReader) -> int:
    # No form lets 0 in, but Postgres does.
    return max(1, reader.source.tenant.weight)


def _weights(readers: Collection[SourceReader]) -> dict[int, int]:
    return {reader.tenant_id: _weight(reader) for reader in readers}
