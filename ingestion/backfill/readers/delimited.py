"""Reads CSV (RFC 4180, with a header): each row becomes a JSON object for the table's columns.

A CSV field has no type, so its column decides how it is written: a number keeps its digits, a text
becomes a string. ClickHouse judges fields that do not fit their column's type, as it does for all
messages. An empty field is null, except in a required text column: there it is "".
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from ingestion.backfill.errors import FileUnreadable
from ingestion.backfill.file import HistoryFile
from ingestion.backfill.readers import head, needed
from ingestion.backfill.readers.opening import Block, opened, readable
from ingestion.ddl import paths
from ingestion.ddl.spec import ColumnSpec

_ROWS = 10_000
_OTHER_DELIMITERS = ";\t|"
#: RFC 8259, section 6.
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?\Z", re.ASCII)
_WRAPPER = re.compile(r"(?:Nullable|LowCardinality)\((.*)\)\Z")
_NUMERIC = re.compile(r"U?Int\d|Float|Decimal|Date")
_NESTED = re.compile(r"Array|Map|Tuple")
#: The largest field in bytes. csv's default of 128 KiB protects against unknown files.
_FIELD_BYTES = 64 << 20

Write = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Template:
    """How a row becomes JSON: ``text`` has a ``%s`` for each item of ``plan``.

    ``plan``: the field's index in a row, and the function that writes the field.
    """

    text: str
    plan: tuple[tuple[int, Write], ...]


def read(file: HistoryFile, columns: Sequence[ColumnSpec]) -> Iterator[Block]:
    """Read the rows after the header. A row with more or fewer fields becomes a JSON array."""
    csv.field_size_limit(_FIELD_BYTES)
    with readable(file):
        head.read(file)
    with readable(file), opened(file) as (stream, raw):
        # Broken UTF-8 is passed on unchanged; ClickHouse judges it with the message.
        text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="")
        rows = csv.reader(text)
        header = _header(file, rows)
        _check_header(file, header, columns)
        template = _template(header, columns)
        messages: list[bytes] = []
        for row in _lines(file, rows):
            messages.append(_message(row, template))
            if len(messages) == _ROWS:
                yield Block(messages, raw.tell())
                messages = []
        yield Block(messages, file.size)


def _header(file: HistoryFile, rows: Iterator[list[str]]) -> list[str]:
    """The names in the file's first line; raises FileUnreadable if it has none, or one twice."""
    header = next(_lines(file, rows), None)
    if header is None:
        msg = f"{file.shown}: it is empty. A CSV file starts with the names of its columns."
        raise FileUnreadable(msg)
    if repeated := sorted({name for name in header if header.count(name) > 1}):
        msg = f"{file.shown}: its header names {', '.join(map(repr, repeated))} more than once."
        raise FileUnreadable(msg)
    return header


def _check_header(file: HistoryFile, header: Sequence[str], columns: Sequence[ColumnSpec]) -> None:
    """Refuse a header with another delimiter than commas, or without columns that are needed."""
    known = _known(columns)
    recognised = len(known.keys() & set(header))
    for delimiter in _OTHER_DELIMITERS:
        fields = {name.strip('" ') for name in delimiter.join(header).split(delimiter)}
        if len(known.keys() & fields) > recognised:
            shown = {"\t": "tabs"}.get(delimiter, repr(delimiter))
            msg = f"{file.shown}: its fields are separated by {shown}. Write it with commas."
            raise FileUnreadable(msg)

    def is_in_header(column: ColumnSpec) -> bool:
        keys = _field(column).keys
        return any(known[name].keys == keys for name in header if name in known)

    for column in columns:
        if column.is_in_array and {column.name, column.path} & set(header):
            _check_holder(file, column, has=is_in_header(column))
    needed.check(file, columns, is_in_header, header)


def _check_holder(file: HistoryFile, column: ColumnSpec, *, has: bool) -> None:
    """Refuse a field that would hold only what a column reads from an array."""
    if not has:
        msg = (
            f"{file.shown}: column {column.name} reads {column.path}, which can't be a field of "
            f"its own. Write the whole array as JSON into a field {_field(column).path}."
        )
        raise FileUnreadable(msg)


def _field(column: ColumnSpec) -> ColumnSpec:
    """What the field of a column holds: of a path into an array, the array as JSON."""
    if not column.is_in_array:
        return column
    keys = takewhile(lambda segment: isinstance(segment, str), column.segments)
    path = paths.shown(tuple(keys))
    return ColumnSpec(name=path, type="Array(String)", path=path)


def _known(columns: Sequence[ColumnSpec]) -> dict[str, ColumnSpec]:
    """Columns by the names that a header may use; of two, a path wins over what is like one.

    A column can be called by its name, by its path, or by its keys joined by dots.
    """
    arrays = {column.path: column for column in map(_field, columns)}
    own = [column for column in columns if not column.is_in_array]
    by_name = {column.name: column for column in own}
    by_keys = {".".join(column.keys): column for column in own}
    by_path = {paths.shown(column.keys): column for column in own}
    as_written = {column.path or column.name: column for column in own}
    return arrays | by_name | by_keys | by_path | as_written


def _lines(file: HistoryFile, rows: Iterator[list[str]]) -> Iterator[list[str]]:
    try:
        for row in rows:
            if row:
                yield row
    except csv.Error as error:
        line = getattr(rows, "line_num", 0)
        msg = f"{file.shown}, line {line}: it can't be read as csv: {error}."
        raise FileUnreadable(msg) from error


def _message(row: list[str], template: Template) -> bytes:
    if len(row) == len(template.plan):
        text = template.text % tuple(write(row[index]) for index, write in template.plan)
    else:
        text = json.dumps(row, ensure_ascii=False)
    return text.encode("utf-8", "surrogateescape")


# --- From the header to a template: {"a": %s, "b": {"c": %s}} -----------------------------------


def _template(header: Sequence[str], columns: Sequence[ColumnSpec]) -> Template:
    """The template for a header of column paths or names, and of others that no column has."""
    known = _known(columns)
    tree: dict[str, Any] = {}
    for index, key in enumerate(header):
        column = known.get(key)
        path = [key] if column is None else column.keys
        _place(tree, path, (index, _writer(column)))
    plan: list[tuple[int, Write]] = []
    return Template(_shape(tree, plan), tuple(plan))


def _place(tree: dict[str, Any], path: Sequence[str], field: tuple[int, Write]) -> None:
    for parent in path[:-1]:
        tree = tree.setdefault(parent, {})
    tree[path[-1]] = field


def _shape(tree: dict[str, Any], plan: list[tuple[int, Write]]) -> str:
    parts = []
    for key, inner in tree.items():
        name = json.dumps(key, ensure_ascii=False).replace("%", "%%")
        if isinstance(inner, dict):
            parts.append(f"{name}:{_shape(inner, plan)}")
        else:
            plan.append(inner)
            parts.append(f"{name}:%s")
    return "{" + ",".join(parts) + "}"


# --- How a field of each kind of column is written ----------------------------------------------


def _writer(column: ColumnSpec | None) -> Write:
    if column is None:
        return _text
    kind = column.type.strip()
    while wrapped := _WRAPPER.match(kind):
        kind = wrapped[1].strip()
    if _NUMERIC.match(kind):
        return _number
    if kind == "Bool":
        return _literal
    if _NESTED.match(kind):
        return _nested
    return _text if column.required else _optional_text


def _text(field: str) -> str:
    return json.dumps(field, ensure_ascii=False)


def _optional_text(field: str) -> str:
    return _text(field) if field else "null"


def _number(field: str) -> str:
    return field if _NUMBER.match(field) else _optional_text(field)


def _literal(field: str) -> str:
    return field if field in {"true", "false"} else _optional_text(field)


def _nested(field: str) -> str:
    return field if field[:1] in {"[", "{"} else _optional_text(field)
