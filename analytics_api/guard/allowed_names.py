"""The names that a saved query may call, according to ``verdicts.tsv``.

Names are compared without regard to case. A test proves that no two names with different verdicts
differ only by case. A name without a verdict is refused.
"""

from __future__ import annotations

from functools import cache

from analytics_api.guard.verdicts import names

#: Types with arguments that a query may name. States of aggregates are not among them: a cast to
#: one would turn the caller's bytes into ClickHouse's own structures.
_TYPES = frozenset(
    """
    array datetime datetime32 datetime64 decimal decimal128 decimal256 decimal32 decimal64 dynamic
    enum enum16 enum8 fixedstring json lowcardinality map nested nullable time64 tuple variant
    """.split()  # noqa: SIM905 - quoted one by one they are harder to read
)
#: Formats that write single rows and use no schema file, in lower case.
_ROW_FORMATS = frozenset(
    """
    csv csvwithnames csvwithnamesandtypes tsv tsvraw tsvrawwithnames tsvwithnames
    tsvwithnamesandtypes tabseparated tabseparatedraw tabseparatedwithnames
    tabseparatedwithnamesandtypes tskv values jsoneachrow jsonlines ndjson jsoncompacteachrow
    jsoncompactstringseachrow jsonstringseachrow markdown vertical xml rowbinary lineasstring
    rawblob sqlinsert customseparated customseparatedignorespaces bsoneachrow msgpack
    """.split()  # noqa: SIM905 - quoted one by one they are harder to read
)


def allowed_tables() -> frozenset[str]:
    """The allowed table functions: those that make rows from nothing."""
    return names("table", "allowed")


@cache
def _combinators() -> frozenset[str]:
    return names("combinator", "allowed")


@cache
def is_aggregate(name: str) -> bool:
    """Whether ``name`` is an allowed aggregate function, with any combinators behind it."""
    lower = name.lower()
    if lower in names("aggregate", "allowed"):
        return True
    return any(
        is_aggregate(lower.removesuffix(suffix))
        for suffix in _combinators()
        if lower.endswith(suffix)
    )


@cache
def is_function(name: str) -> bool:
    """Whether a query may call ``name`` as a value."""
    lower = name.lower()
    scalar = lower in names("function", "allowed") or lower in names("syntax", "allowed")
    return scalar or is_aggregate(name)


@cache
def is_known(name: str) -> bool:
    """Whether ClickHouse has a function or table function of this name, allowed or not."""
    lower = name.lower()
    kinds = ("function", "aggregate", "table", "syntax")
    verdicts = ("allowed", "refused", "open")
    return is_aggregate(name) or any(lower in names(k, v) for k in kinds for v in verdicts)


def is_table_function(name: str) -> bool:
    return name.lower() in allowed_tables()


def is_type(name: str) -> bool:
    """Whether ``name`` is an allowed type that takes arguments."""
    return name.lower() in _TYPES


def is_row_format(name: str) -> bool:
    """Whether ``formatRow`` may use this format."""
    return name.lower() in _ROW_FORMATS
