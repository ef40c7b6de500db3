"""Whose a failure of ClickHouse is, by its code: the statement's, a limit's, or the engine's."""

from __future__ import annotations

from tenants.warehouse.errors import StatementFailed

#: Limits of a query that the settings and plans have: rows, seconds, memory and bytes.
LIMITS = frozenset({158, 159, 160, 241, 307, 396})
#: Limits that only ClickHouse has: sizes of arrays, texts, sets and of the statement itself.
_OWN_LIMITS = frozenset({128, 131, 167, 168, 191, 290, 306})
#: How it calls one of them where its code is that of any number out of range.
_MAXIMUM = "greater than the allowed maximum"
#: The engine itself failed: a bug, a disk, a connection of its own.
ENGINE = frozenset(
    {0, 40, 49, 74, 75, 76, 173, 209, 210, 243, 246, 279, 394, 999, 1000, 1001, 1002}
)
#: The warehouse is being made, or its limits are being changed.
NOT_READY = frozenset({164, 192, 193, 194, 452, 516})
#: Too many queries at a time, of a user or of all, and a quota.
_BUSY = frozenset({201, 202})


def is_of_the_query(error: StatementFailed) -> bool:
    """Whether it failed by what it says, not by a limit or by what passes by itself."""
    passing = LIMITS | _BUSY | NOT_READY | ENGINE
    return error.code not in passing and not is_own_limit(error)


def is_own_limit(error: StatementFailed) -> bool:
    return error.code in _OWN_LIMITS or _MAXIMUM in error.message
