"""Row filters: SQL conditions that restrict the rows which a key's or token's queries can read.

They have the form ``{table: condition}``; the table ``*`` stands for every table that has the
condition's columns. Without filters, queries can read all rows. With filters, they can read only
tables that a filter covers, and there only the matching rows.

The SQL guard checks conditions. It lives in an app above this package, so it registers itself
here. Until it has, every filter is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from tenants.models import Tenant

#: The longest condition, in characters, and the most tables that one key's or token's filters name.
MAX_LENGTH = 4_000
MAX_TABLES = 100
EVERY = "*"


class FilterRefused(ValueError):
    """A condition is not allowed or fits no table; the message says what to write instead."""


class Checker(Protocol):
    """Checks conditions."""

    def condition(self, text: str) -> None:
        """Check the text of one condition; raises FilterRefused."""

    def fits(self, tenant: Tenant, filters: Mapping[str, str]) -> None:
        """Check conditions against the tenant's tables; raises FilterRefused, WarehouseError."""


_checkers: list[Checker] = []


def register(checker: Checker) -> None:
    """Let ``checker`` check conditions from now on."""
    _checkers[:] = [checker]


def _checker() -> Checker:
    if not _checkers:
        msg = "This process can't check row filters, so it accepts none."
        raise FilterRefused(msg)
    return _checkers[0]


def read(given: object) -> dict[str, str]:
    """Read filters from JSON: one condition for every table, or conditions by table.

    Checks the text of each condition. Raises FilterRefused.
    """
    conditions = {EVERY: given} if isinstance(given, str) else given
    if not isinstance(conditions, Mapping) or len(conditions) > MAX_TABLES:
        msg = f'Give row filters by table, at most {MAX_TABLES}, such as {{"orders": "id = 7"}}.'
        raise FilterRefused(msg)
    for table, condition in conditions.items():
        if not isinstance(table, str) or not isinstance(condition, str):
            msg = f"The filter of {table!r} must be a string with an SQL condition."
            raise FilterRefused(msg)
        if len(condition) > MAX_LENGTH:
            msg = f"The filter of {table!r} is longer than {MAX_LENGTH:,} characters."
            raise FilterRefused(msg)
        _checker().condition(condition)
    return dict(conditions)


def check(tenant: Tenant, given: object) -> dict[str, str]:
    """Like ``read``, but conditions must also fit the tenant's tables; may raise WarehouseError."""
    filters = read(given)
    if filters:
        _checker().fits(tenant, filters)
    return filters


def both(first: Mapping[str, str], second: Mapping[str, str]) -> dict[str, str]:
    """Filters that pass only the rows that both ``first`` and ``second`` pass."""
    if not first or not second:
        return dict(first or second)
    return {table: _both(table, first, second) for table in sorted({*first, *second})}


def _both(table: str, first: Mapping[str, str], second: Mapping[str, str]) -> str:
    left, right = first.get(table, first.get(EVERY)), second.get(table, second.get(EVERY))
    # Filters hide the tables that they don't cover, so both sides must cover the table.
    if left is None or right is None:
        return "0"
    return left if left == right else f"({left}) AND ({right})"
