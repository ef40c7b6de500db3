"""Reads CSV (RFC 4180, with a header): each row becomes a JSON object for the table's columns.

A CSV field has no type, so its column decides how it is written: a number keeps its digits, a text
becomes a string. ClickHouse judges fields that do not fit their column's type, as it does for all
messages.

An empty field without quotes is null, and ``""`` the empty text. A required text column takes both
as the empty text, because it has no null. Any other type has no empty text: there both are null. A
bare field that is the marker of ``--null`` is null everywhere; in quotes it is that text.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from ingestion.backfill.errors import FileUnreadable
from ingestion.backfill.file import HistoryFile
from ingestion.backfill.readers import csv_fields, head, needed
from ingestion.backfill.readers.csv_fields import Field, unfit
from ingestion.backfill.readers.csv_rows import BrokenLine, rows
from ingestion.backfill.readers.encoding import opened_as_utf_8
from ingestion.backfill.readers.opening import Block, Remark, readable, unheard
from ingestion.ddl.spec import ColumnSpec

_ROWS = 10_000
#: In the order in which they are preferred when the header does not decide.
_DELIMITERS = ",;\t|"


def read(
    file: HistoryFile, columns: Sequence[ColumnSpec], remark: Remark = unheard
) -> Iterator[Block]:
    """Read the rows after the header. A row with more or fewer fields becomes a JSON array."""
    delimiter = delimiter_of(file, columns)
    with readable(file), opened_as_utf_8(file) as (stream, raw):
        # Broken UTF-8 is passed on unchanged; ClickHouse judges it with the message.
        text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="")
        lines = _rows(file, rows(text, delimiter, file.options))
        header = _header(file, lines)
        _check_header(file, header, columns, remark)
        template = csv_fields.template(header, columns)
        messages: list[bytes] = []
        for row in lines:
            if isinstance(row, BrokenLine):
                messages.append(unfit(row.shown()))
            else:
                messages.append(template.message(row))
            if len(messages) == _ROWS:
                yield Block(messages, raw.tell())
                messages = []
        yield Block(messages, file.size)


def delimiter_of(file: HistoryFile, columns: Sequence[ColumnSpec]) -> str:
    """The delimiter that the options say, or that the header shows; raises FileUnreadable.

    That is the delimiter by which the header has most of the table's columns, or if it has none of
    them by any, the one by which it has most names.
    """
    with readable(file):
        start = head.read(file).decode("utf-8", "replace")
    if file.options.delimiter:
        return file.options.delimiter
    by_name = csv_fields.known(columns).keys()

    def fit(delimiter: str) -> tuple[int, int]:
        names = {name.strip() for name in _first(start, delimiter)}
        recognised = len(by_name & names)
        return recognised, 0 if recognised else len(names)

    return max(_DELIMITERS, key=fit)


def _first(text: str, delimiter: str) -> list[str]:
    """The first row of the text that is not blank."""
    try:
        return next(
            filter(None, csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)), []
        )
    except csv.Error:
        return []


def _header(file: HistoryFile, lines: Iterator[Sequence[Field] | BrokenLine]) -> list[str]:
    """The names in the file's first line; raises FileUnreadable if it has none, or one twice."""
    first = next(lines, None)
    if first is None:
        msg = f"{file.shown}: it is empty. A CSV file starts with the names of its columns."
        raise FileUnreadable(msg)
    if isinstance(first, BrokenLine):
        msg = f"{file.shown}, line {first.number}: a quote in its header is not closed."
        raise FileUnreadable(msg)
    # In a header the marker of no value is a name like any other.
    header = [file.options.null or "" if name is None else name for name in first]
    if repeated := sorted({name for name in header if header.count(name) > 1}):
        msg = f"{file.shown}: its header names {', '.join(map(repr, repeated))} more than once."
        raise FileUnreadable(msg)
    return header


def _check_header(
    file: HistoryFile, header: Sequence[str], columns: Sequence[ColumnSpec], remark: Remark
) -> None:
    """Refuse a header without columns that are needed."""
    by_name = csv_fields.known(columns)

    def is_in_header(column: ColumnSpec) -> bool:
        keys = csv_fields.field_of(column).keys
        return any(by_name[name].keys == keys for name in header if name in by_name)

    for column in columns:
        if column.is_in_array and {column.name, column.path} & set(header):
            _check_holder(file, column, has=is_in_header(column))
    needed.check(file, columns, is_in_header, header, remark=remark)


def _check_holder(file: HistoryFile, column: ColumnSpec, *, has: bool) -> None:
    """Refuse a field that would hold only what a column reads from an array."""
    if not has:
        msg = (
            f"{file.shown}: column {column.name} reads {column.path}, which can't be a field of "
            "its own. Write the whole array as JSON into a field "
            f"{csv_fields.field_of(column).path}."
        )
        raise FileUnreadable(msg)


def _rows(
    file: HistoryFile, lines: Iterator[Sequence[Field] | BrokenLine]
) -> Iterator[Sequence[Field] | BrokenLine]:
    try:
        yield from lines
    except csv.Error as error:
        msg = f"{file.shown}: it can't be read as csv: {error}."
        raise FileUnreadable(msg) from error
