"""What caused a ClickHouse error, by its code: the statement, a limit, or ClickHouse itself."""

from __future__ import annotations

from tenants.warehouse.errors import StatementFailed

#: Limits of a query that settings and plans control: rows, seconds, memory and bytes.
LIMITS = frozenset({158, 159, 160, 241, 307, 396})
#: ClickHouse's own limits: sizes of arrays, texts, sets and of the statement itself.
_OWN_LIMITS = frozenset({128, 131, 167, 168, 191, 290, 306})
#: Stands in the message of such a limit whose code also means any number out of range.
_MAXIMUM = "greater than the allowed maximum"
#: ClickHouse itself failed: a bug, a disk, one of its connections.
ENGINE = frozenset(
    {0, 40, 49, 74, 75, 76, 173, 209, 210, 243, 246, 279, 394, 999, 1000, 1001, 1002}
)
#: The warehouse is being created, or its limits are being changed.
NOT_READY = frozenset({164, 192, 193, 194, 452, 516})
#: A quota is used up, or a user or the server runs too many queries at a time.
_BUSY = frozenset({201, 202})


def is_of_the_query(error: StatementFailed) -> bool:
    """Whether the statement itself is at fault, not a limit or something that passes by itself."""
    passing = LIMITS | _BUSY | NOT_READY | ENGINE
    return error.code not in passing and not is_own_limit(error)


def is_own_limit(error: StatementFailed) -> bool:
    return error.code in _OWN_LIMITS or _MAXIMUM in error.message
