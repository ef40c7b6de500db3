"""The cache (Valkey): counters and answers of a tenant's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from django.conf import settings
from redis import Redis

from tenants.lifecycle.registry import Doomed

#: Each gives the glob patterns of a tenant's keys, as they stand in the cache.
patterns: list[Callable[[Doomed], list[str]]] = []
_PAGE = 1_000


def _own(doomed: Doomed) -> list[str]:
    """Keys that name the tenant as ``t:<pk>:``, ``t_<slug>:`` or, of limits, ``{<pk>}:``."""
    found = [f"*{doomed.database}:*"]
    return [*found, f"*t:{doomed.pk}:*", f"*:{{{doomed.pk}}}:*"] if doomed.pk else found


patterns.append(_own)


class Cache:
    """Every key that a pattern finds."""

    name = "Cache"

    def settle(self, doomed: Doomed) -> None:
        """Keys of callers that are refused are not written any more."""

    def count(self, doomed: Doomed) -> Mapping[str, int]:
        return {"keys": len(set(self._keys(doomed)))}

    def remove(self, doomed: Doomed) -> list[str]:
        found = sorted(set(self._keys(doomed)))
        for start in range(0, len(found), _PAGE):
            _client().unlink(*found[start : start + _PAGE])
        return []

    def _keys(self, doomed: Doomed) -> Iterator[bytes]:
        for give in patterns:
            for pattern in give(doomed):
                yield from _client().scan_iter(match=pattern, count=_PAGE)


def _client() -> Redis:
    return Redis.from_url(settings.CACHES["default"]["LOCATION"])
