"""Policy: of which feeds a slice may pull more, and of which lanes a batch may be cut. No state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from ingestion.consume.feed import Feed
from ingestion.consume.grouping import Pair
from ingestion.consume.pace import Pace


def hungry(feeds: Collection[Feed], pace: Pace) -> list[Feed]:
    """Feeds whose tenant holds less than its share of the slice's memory."""
    held: Counter[int] = Counter()
    for feed in feeds:
        held[feed.tenant_id] += feed.held_bytes
    total = sum(_weights(feeds).values())
    return [one for one in feeds if held[one.tenant_id] < pace.share(_weight(one), total)]


def due(
    feeds: Collection[Feed], pace: Pace, now: float, small_cost: float
) -> tuple[list[Pair], list[Pair]]:
    """What has waited for a batch's age, and what may go along with that.

    ``now`` in seconds, as the lanes know it. ``small_cost`` as of ``Pace.ages``.
    """
    pairs = [(feed, lane) for feed in feeds for lane in feed.lanes.values()]
    busy = Counter(feed.tenant_id for feed, lane in pairs if lane.waiting or lane.under_way)
    weights = _weights(feeds)
    ages = pace.ages(busy, weights, small_cost)
    total = sum(weights.values())
    full = {id(one) for one in feeds if one.held_bytes >= pace.share(_weight(one), total)}
    found, company = list[Pair](), list[Pair]()
    for feed, lane in pairs:
        if not lane.waiting or lane.under_way:
            continue
        if lane.is_due(pace, now, ages[feed.tenant_id]) or id(feed) in full:
            found.append((feed, lane))
        elif lane.since <= now - pace.seconds:
            company.append((feed, lane))
    return found, company


def _weight(feed: Feed) -> int:
    # No form lets 0 in, but Postgres does.
    return max(1, feed.source.tenant.weight)


def _weights(feeds: Collection[Feed]) -> dict[int, int]:
    return {one.tenant_id: _weight(one) for one in feeds}
