"""Whether a file has the columns that its table needs, asked before its first row is loaded."""

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
    """Raise FileUnreadable where a required column is not in the file, or none of the table's.

    ``names`` is what the file has, as its header or schema says it.
    """
    known = {one.name for one in columns if has(one)}
    missing = [one for one in columns if one.required and one.name not in known]
    if missing:
        what = ", ".join(_place(one) for one in missing[:_SHOWN])
        msg = f"{file.shown}: it lacks what the table requires: {what}. {_has(names)}"
        raise FileUnreadable(msg)
    if not known:
        expected = ", ".join(_place(one) for one in columns[:_SHOWN])
        msg = f"{file.shown}: it has no column of the table's: {expected}. {_has(names)}"
        raise FileUnreadable(msg)


def _place(column: ColumnSpec) -> str:
    return f"{column.name} (at {column.path})" if column.path else column.name


def _has(names: Iterable[str]) -> str:
    all_names = [repr(one) for one in names]
    more = ", …" if len(all_names) > _SHOWN else ""
    return f"It has {', '.join(all_names[:_SHOWN])}{more}."
