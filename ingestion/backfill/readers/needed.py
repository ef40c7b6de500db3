"""Checks that a file has the columns that its table needs, before its first row is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ingestion.backfill.errors import FileUnreadable
from ingestion.backfill.file import HistoryFile
from ingestion.ddl.spec import ColumnSpec

_SHOWN = 20


def check(
    file: HistoryFile,
    columns: Sequence[ColumnSpec],
    has: Callable[[ColumnSpec], bool],
    names: Iterable[str],
) -> None:
    """Raise FileUnreadable if the file lacks a required column, or has no column of the table.

    ``has``: whether the file has a column. ``names``: the names in the file's header or schema.
    """
    known = {column.name for column in columns if has(column)}
    missing = [column for column in columns if column.required and column.name not in known]
    if missing:
        what = ", ".join(_place(column) for column in missing[:_SHOWN])
        msg = f"{file.shown}: it lacks columns that the table requires: {what}. {_has(names)}"
        raise FileUnreadable(msg)
    if not known:
        expected = ", ".join(_place(column) for column in columns[:_SHOWN])
        msg = f"{file.shown}: it has none of the table's columns: {expected}. {_has(names)}"
        raise FileUnreadable(msg)


def _place(column: ColumnSpec) -> str:
    return f"{column.name} (at {column.path})" if column.path else column.name


def _has(names: Iterable[str]) -> str:
    all_names = [repr(name) for name in names]
    more = ", …" if len(all_names) > _SHOWN else ""
    return f"It has {', '.join(all_names[:_SHOWN])}{more}."
