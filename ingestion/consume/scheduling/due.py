"""Policy: which readers may be polled for more, and which buffers may be cut into a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from ingestion.consume.scheduling.batch_policy import BatchPolicy
from ingestion.consume.scheduling.grouping import Pair
from ingestion.consume.source_reader import SourceReader


def readers_below_share(
    readers: Collection[SourceReader], policy: BatchPolicy
) -> list[SourceReader]:
    """Readers whose tenant holds less than its share of the slice's memory."""
    held: Counter[int] = Counter()
    for reader in readers:
        held[reader.tenant_id] += reader.held_bytes
    total = sum(_weights(readers).values())
    return [one for one in readers if held[one.tenant_id] < policy.share(_weight(one), total)]


def due_batches(
    readers: Collection[SourceReader], policy: BatchPolicy, now: float, small_cost: float
) -> tuple[list[Pair], list[Pair]]:
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
    full = {id(one) for one in readers if one.held_bytes >= policy.share(_weight(one), total)}
    found, company = list[Pair](), list[Pair]()
    for reader, buffer in pairs:
        if not buffer.waiting or buffer.under_way:
            continue
        if buffer.is_due(policy, now, ages[reader.tenant_id]) or id(reader) in full:
            found.append((reader, buffer))
        elif buffer.since <= now - policy.seconds:
            company.append((reader, buffer))
    return found, company


def _weight(reader: SourceReader) -> int:
    # No form lets 0 in, but Postgres does.
    return max(1, reader.source.tenant.weight)


def _weights(readers: Collection[SourceReader]) -> dict[int, int]:
    return {one.tenant_id: _weight(one) for one in readers}
