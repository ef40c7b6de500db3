"""SQL conditions that compare a column of any type with a value given as text."""

from __future__ import annotations

from tenants.warehouse.quoting import string

#: Types whose values are compound or aggregate states, so that no single value equals them.
_MANY = ("Array(", "Map(", "Tuple(", "Nested(", "AggregateFunction(", "JSON", "Dynamic", "Variant(")


def bare(kind: str) -> str:
    """A type without the wrappers LowCardinality, Nullable and SimpleAggregateFunction.

    '' if no single value can equal a value of the type.
    """
    for wrapper in ("LowCardinality(", "Nullable("):
        if kind.startswith(wrapper):
            return bare(kind[len(wrapper) : -1])
    if kind.startswith("SimpleAggregateFunction("):
        return bare(kind[:-1].partition(", ")[2])
    return "" if kind.startswith(_MANY) else kind


def cast(kind: str) -> str:
    """SQL that casts ``{value:String}`` to the type: NULL if it does not fit or nothing can."""
    plain = bare(kind)
    return f"accurateCastOrNull({{value:String}}, {string(plain)})" if plain else "NULL"


def equals(column: str, kind: str) -> str:
    """The condition that a column equals the value; '' if a column of this type can't."""
    plain = bare(kind)
    if plain.startswith("FixedString("):
        return f"toStringCutToZero({column}) = {{value:String}}"
    return f"{column} = {cast(kind)}" if plain else ""
