"""Conditions that a column of any type has a value that is given as a text."""

from __future__ import annotations

from tenants.warehouse.quoting import string

#: Types of which one value is many, or a state: nothing equals them.
_MANY = ("Array(", "Map(", "Tuple(", "Nested(", "AggregateFunction(", "JSON", "Dynamic", "Variant(")


def bare(kind: str) -> str:
    """A type without what is wrapped around it: LowCardinality, Nullable, SimpleAggregateFunction.

    An empty text where no single value can equal one of that type.
    """
    for wrapper in ("LowCardinality(", "Nullable("):
        if kind.startswith(wrapper):
            return bare(kind[len(wrapper) : -1])
    if kind.startswith("SimpleAggregateFunction("):
        return bare(kind[:-1].partition(", ")[2])
    return "" if kind.startswith(_MANY) else kind


def cast(kind: str) -> str:
    """``{value:String}`` as a value of that type; NULL where it is none, or where none can be."""
    plain = bare(kind)
    return f"accurateCastOrNull({{value:String}}, {string(plain)})" if plain else "NULL"


def equals(column: str, kind: str) -> str:
    """The condition that a column has the value; '' where a column of that type can't."""
    plain = bare(kind)
    if plain.startswith("FixedString("):
        return f"toStringCutToZero({column}) = {{value:String}}"
    return f"{column} = {cast(kind)}" if plain else ""
