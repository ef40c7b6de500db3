"""The names that a saved query may call, read from ``allowed.txt`` beside this module."""

from __future__ import annotations

from functools import cache
from pathlib import Path

#: Suffixes that turn one aggregate function into another (system.aggregate_function_combinators).
COMBINATORS = (
    "if",
    "array",
    "map",
    "distinct",
    "ordefault",
    "ornull",
    "state",
    "merge",
    "simplestate",
    "foreach",
    "resample",
    "argmin",
    "argmax",
    "tuple",
)


@cache
def allowed(section: str) -> frozenset[str]:
    """Lower-case names of a section: ``aggregates``, ``functions``, ``tables`` or ``types``."""
    text = (Path(__file__).parent / "allowed.txt").read_text(encoding="ascii")
    names: set[str] = set()
    here = False
    for line in text.splitlines():
        if line.startswith("["):
            here = line.strip("[]").partition(":")[0] == section
        elif here and not line.startswith("#"):
            names.update(line.lower().split())
    return frozenset(names)


@cache
def is_aggregate(name: str) -> bool:
    """Whether ``name`` is an allowed aggregate function, with any combinators behind it."""
    lower = name.lower()
    if lower in allowed("aggregates"):
        return True
    return any(
        is_aggregate(lower.removesuffix(suffix)) for suffix in COMBINATORS if lower.endswith(suffix)
    )


def is_function(name: str) -> bool:
    """Whether a query may call ``name`` where a value may stand."""
    return name.lower() in allowed("functions") or is_aggregate(name)


def is_table_function(name: str) -> bool:
    return name.lower() in allowed("tables")


def is_type(name: str) -> bool:
    """Whether ``name`` is a type that takes arguments."""
    return name.lower() in allowed("types")
