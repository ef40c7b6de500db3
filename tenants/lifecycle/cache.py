"""The cache (Valkey) as a store: a tenant's counters and cached responses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from django.conf import settings
from redis import Redis

from tenants.lifecycle.registry import Doomed

#: Functions that return the glob patterns of a tenant's keys in the cache.
patterns: list[Callable[[Doomed], list[str]]] = []
_PAGE = 1_000


def _own(doomed: Doomed) -> list[str]:
    """Keys that name the tenant as ``t:<pk>:``, ``t_<slug>:`` or, for limits, ``{<pk>}:``."""
    by_slug = [f"*{doomed.database}:*"]
    return [*by_slug, f"*t:{doomed.pk}:*", f"*:{{{doomed.pk}}}:*"] if doomed.pk else by_slug


patterns.append(_own)


class Cache:
    """The keys in the cache that match a pattern of the tenant."""

    name = "Cache"

    def settle(self, doomed: Doomed) -> None:
        """Nothing to wait for: the tenant's callers are refused, so they write no more keys."""

    def count(self, doomed: Doomed) -> Mapping[str, int]:
        return {"keys": len(set(self._keys(doomed)))}

    def remove(self, doomed: Doomed) -> list[str]:
        keys = sorted(set(self._keys(doomed)))
        for start in range(0, len(keys), _PAGE):
            _client().unlink(*keys[start : start + _PAGE])
        return []

    def _keys(self, doomed: Doomed) -> Iterator[bytes]:
        for patterns_of in patterns:
            for pattern in patterns_of(doomed):
                yield from _client().scan_iter(match=pattern, count=_PAGE)


def _client() -> Redis:
    return Redis.from_url(settings.CACHES["default"]["LOCATION"])
