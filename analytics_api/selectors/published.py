"""Reads of published queries. Every function takes the tenant's id."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from analytics_api.models import SavedQuery
from analytics_api.parameters import Parameter, load
from tenants.recent import Recent

#: A newly published version takes effect after at most this many seconds.
MEMORY_SECONDS = 0.5


@dataclass(frozen=True)
class Published:
    """A published query, ready to run.

    ``stored`` are its parameters as the version stores them; ``settings`` are ClickHouse's.
    """

    name: str
    description: str
    number: int
    sql: str
    parameters: tuple[Parameter, ...]
    stored: tuple[dict[str, Any], ...]
    columns: tuple[dict[str, str], ...]
    settings: tuple[tuple[str, str], ...] = ()


_recent: Recent[tuple[int, str], Published | None] = Recent(MEMORY_SECONDS)


def forget() -> None:
    """Look up every query again; for use after a change in this process."""
    _recent.forget()


def published(tenant_id: int, name: str) -> Published | None:
    """The tenant's published query of that name, or None."""
    return _recent.get((tenant_id, name), lambda: _look_up(tenant_id, name))


def _look_up(tenant_id: int, name: str) -> Published | None:
    rows = SavedQuery.objects.filter(tenant_id=tenant_id, name=name)
    return next(iter(_load(rows.exclude(published=None).select_related("published"))), None)


def all_published(tenant_id: int) -> list[Published]:
    """All of the tenant's published queries, by name."""
    rows = SavedQuery.objects.filter(tenant_id=tenant_id).exclude(published=None)
    return _load(rows.select_related("published").order_by("name"))


def _load(queries: Iterable[SavedQuery]) -> list[Published]:
    return [
        Published(
            name=query.name,
            description=query.description,
            number=query.published.number,
            sql=query.published.sql,
            parameters=load(query.published.parameters),
            stored=tuple(query.published.parameters),
            columns=tuple(query.published.columns),
            settings=tuple(query.published.engine_settings.items()),
        )
        for query in queries
        if query.published is not None
    ]
