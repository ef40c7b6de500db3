"""Checks that a file has the columns that its table needs, before its first row is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from ingestion.backfill.errors import FileUnreadable
from ingestion.backfill.file import HistoryFile
from ingestion.backfill.readers.opening import Remark, unheard
from ingestion.ddl.spec import ColumnSpec

_SHOWN = 20


def check(
    file: HistoryFile,
    columns: Sequence[ColumnSpec],
    has: Callable[[ColumnSpec], bool],
    names: Sequence[str],
    deeper: Iterable[str] = (),
    remark: Remark = unheard,
) -> None:
    """Raise FileUnreadable if the file lacks a required column, or has no column of the table.

    ``has``: whether the file has a column. ``names``: the names in the file's header or schema.
    ``deeper``: the paths of those within others, which may be near matches as well. ``remark``: is
    told of optional columns that the file lacks, but has under a name that is much like theirs.
    """
    by_plain = {_plain(name): name for name in [*deeper, *names]}
    known = {column.name for column in columns if has(column)}
    missing = [column for column in columns if column.required and column.name not in known]
    if missing:
        near = _near(by_plain, missing)
        what = ", ".join(_place(column) for column in missing[:_SHOWN])
        msg = f"{file.shown}: it lacks columns that the table requires: {what}. {_has(names)}{near}"
        raise FileUnreadable(msg)
    if columns and not known:
        near = _near(by_plain, columns)
        expected = ", ".join(_place(column) for column in columns[:_SHOWN])
        msg = f"{file.shown}: it has none of the table's columns: {expected}. {_has(names)}{near}"
        raise FileUnreadable(msg)
    taken = {name for column in columns if column.name in known for name in _names(column)}
    unused = {plain: name for plain, name in by_plain.items() if name not in taken}
    if near := _near(unused, [column for column in columns if column.name not in known]):
        remark(f"{file.shown}: it lacks optional columns, which will have no value.{near}")


def _names(column: ColumnSpec) -> tuple[str, str]:
    return column.path or column.name, column.name


def _place(column: ColumnSpec) -> str:
    return f"{column.name} (at {column.path})" if column.path else column.name


def _plain(name: str) -> str:
    """The name without what people write in different ways: case, blanks, hyphens, underscores."""
    return "".join(filter(str.isalnum, name.casefold()))


def _near(by_plain: Mapping[str, str], columns: Sequence[ColumnSpec]) -> str:
    """Which names differ from those of the columns only by case, blanks or the like."""
    matches = []
    for column in columns:
        for wanted in _names(column):
            if (name := by_plain.get(_plain(wanted))) is not None and _plain(wanted):
                matches.append(f"{name!r} is not {wanted!r}")
                break
    if not matches:
        return ""
    return (
        f" Near misses by case, blanks or signs: {', '.join(matches[:_SHOWN])}. Rename them in the "
        "file, or change the path of the table's columns."
    )


def _has(names: Sequence[str]) -> str:
    all_names = [repr(name) for name in names]
    more = ", …" if len(all_names) > _SHOWN else ""
    return f"It has {', '.join(all_names[:_SHOWN])}{more}."
