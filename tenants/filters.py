"""Row filters: conditions in SQL that a key, or a token, holds its queries to.

``{table: condition}``, where the table ``*`` is every one that has the condition's columns. Without
filters all rows may be read; with some, only those of the tables that they are for.

What a condition may say is judged by the guard of queries, which lies above this package: it
registers itself here. As long as nobody has, every filter is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from tenants.models import Tenant

#: Longest condition, in characters, and most tables of a key's or a token's filters.
MAX_LENGTH = 4_000
MAX_TABLES = 100
EVERY = "*"


class FilterRefused(ValueError):
    """A condition that is not allowed, or fits no table; its words say what would be right."""


class Checker(Protocol):
    """What judges conditions."""

    def condition(self, text: str) -> None:
        """Judge a condition by its text alone; raises FilterRefused."""

    def fits(self, tenant: Tenant, filters: Mapping[str, str]) -> None:
        """Judge conditions by the tenant's tables; raises FilterRefused, WarehouseError."""


_checkers: list[Checker] = []


def register(checker: Checker) -> None:
    """From now on ``checker`` judges conditions."""
    _checkers[:] = [checker]


def _checker() -> Checker:
    if not _checkers:
        msg = "Row filters can't be checked in this process, so none is taken."
        raise FilterRefused(msg)
    return _checkers[0]


def read(given: object) -> dict[str, str]:
    """Filters as JSON has them: a condition for every table, or conditions by table.

    Each is judged by its text. Raises FilterRefused.
    """
    found = {EVERY: given} if isinstance(given, str) else given
    if not isinstance(found, Mapping) or len(found) > MAX_TABLES:
        msg = f'Row filters are conditions by table, at most {MAX_TABLES}: {{"orders": "id = 7"}}.'
        raise FilterRefused(msg)
    for table, condition in found.items():
        if not isinstance(table, str) or not isinstance(condition, str):
            msg = f"The filter of {table!r} must be a condition in SQL, as text."
            raise FilterRefused(msg)
        if len(condition) > MAX_LENGTH:
            msg = f"The filter of {table!r} is longer than {MAX_LENGTH:,} characters."
            raise FilterRefused(msg)
        _checker().condition(condition)
    return dict(found)


def check(tenant: Tenant, given: object) -> dict[str, str]:
    """``read``, and each condition must fit the tenant's tables; raises also WarehouseError."""
    filters = read(given)
    if filters:
        _checker().fits(tenant, filters)
    return filters


def both(first: Mapping[str, str], second: Mapping[str, str]) -> dict[str, str]:
    """Filters that let through what both do."""
    if not first or not second:
        return dict(first or second)
    return {table: _both(table, first, second) for table in sorted({*first, *second})}


def _both(table: str, first: Mapping[str, str], second: Mapping[str, str]) -> str:
    left, right = first.get(table, first.get(EVERY)), second.get(table, second.get(EVERY))
    # What one of them has no filter for can't be read.
    if left is None or right is None:
        return "0"
    return left if left == right else f"({left}) AND ({right})"
