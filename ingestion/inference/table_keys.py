"""Proposes by which columns ClickHouse sorts and partitions a table."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ingestion.ddl.spec import ColumnSpec
from ingestion.inference.evidence import Evidence

#: Texts of few values that come before the time; more hardly help.
_GROUPS = 2
#: Names that say that a time is that of the event, the surest first.
_EVENT_TIMES = ("time", "timestamp", "ts", "event_time", "occurred_at", "created_at", "date")
_ID = re.compile(r"(?:^|_)(?:id|uuid|key)\Z", re.IGNORECASE)
#: Words that an expression does not take for a column.
_WORDS = frozenset(
    {
        *("interval", "second", "minute", "hour", "day", "week", "month", "quarter", "year"),
        *("and", "or", "not", "in", "null", "div", "mod", "asc", "desc", "delete", "where", "to"),
        *("disk", "volume", "recompress", "select", "settings", "engine", "order", "by", "from"),
        *("as", "case", "end", "is", "like", "between", "distinct", "true", "false"),
    }
)

Described = Sequence[tuple[ColumnSpec, Evidence]]


def sorting_key(columns: Described) -> tuple[str, ...]:
    """Up to two texts of few values, the fewest first; then the time; then what names the event.

    Only required columns. Without a time, the first id; empty if there is none either.
    """
    able = [pair for pair in columns if pair[0].required and _is_usable(pair[0].name)]
    time = event_time([column for column, _ in able])
    ids = [column.name for column, _ in able if _is_id(column)][:1]
    if not time:
        return tuple(ids)
    groups = sorted(
        (evidence.distinct, column.name)
        for column, evidence in able
        if column.type == "LowCardinality(String)" and evidence.distinct > 1
    )
    return (*(name for _, name in groups[:_GROUPS]), time, *ids)


def partition_key(columns: Sequence[ColumnSpec]) -> str:
    """The month of the event's time; empty without one."""
    able = [column for column in columns if column.required and _is_usable(column.name)]
    time = event_time(able)
    return f"toYYYYMM({time})" if time else ""


def event_time(columns: Sequence[ColumnSpec]) -> str:
    """The column of the event's time: by its name, otherwise the first time, then date."""
    times = [column.name for column in columns if column.type.startswith("Date")]
    exact = [column.name for column in columns if column.type.startswith("DateTime")]
    by_name = {name.lower(): name for name in times}
    known = [by_name[name] for name in _EVENT_TIMES if name in by_name]
    return next(iter([*known, *exact, *times]), "")


def _is_id(column: ColumnSpec) -> bool:
    is_scalar = column.type in {"Int64", "UInt64", "String", "UUID"}
    return is_scalar and _ID.search(column.name) is not None


def _is_usable(name: str) -> bool:
    return name.lower() not in _WORDS
