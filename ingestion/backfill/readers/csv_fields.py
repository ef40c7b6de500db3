"""Writes the fields of a CSV row as JSON: a header becomes ``{"a": %s, "b": {"c": %s}}``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from ingestion.ddl import paths, value_formats
from ingestion.ddl.spec import ColumnSpec

#: RFC 8259, section 6.
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?\Z", re.ASCII)
_WRAPPER = re.compile(r"(?:Nullable|LowCardinality)\((.*)\)\Z")
_NUMERIC = re.compile(r"U?Int\d|Float|Decimal|Date")
_NESTED = re.compile(r"Array|Map|Tuple|Nested|JSON")
#: Types whose values may be the empty text.
_TEXTUAL = re.compile(r"String|FixedString|Enum")

Write = Callable[[str], str]


class Quoted(str):
    """A field that stood in quotes and is empty, or is the marker of no value."""

    __slots__ = ()


#: A field. None: no value, by the marker.
Field = str | None


@dataclass(frozen=True, slots=True)
class Template:
    """How a row becomes JSON: ``text`` has a ``%s`` for each item of ``plan``.

    ``plan``: the field's index in a row, and the function that writes the field.
    """

    text: str
    plan: tuple[tuple[int, Write], ...]

    def message(self, row: Sequence[Field]) -> bytes:
        """The row as a JSON object; as an array if it has more or fewer fields than the header."""
        if len(row) != len(self.plan):
            return unfit(row)
        text = self.text % tuple(
            "null" if (field := row[index]) is None else write(field) for index, write in self.plan
        )
        return text.encode("utf-8", "surrogateescape")


def unfit(row: Sequence[Field]) -> bytes:
    """A row as a JSON array, which fits no table."""
    return json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogateescape")


def known(columns: Sequence[ColumnSpec]) -> dict[str, ColumnSpec]:
    """Columns by the names that a header may use; of two, a path wins over what is like one.

    A column can be called by its name, by its path, or by its keys joined by dots.
    """
    of_arrays = map(field_of, (column for column in columns if column.is_in_array))
    arrays = {column.path: column for column in of_arrays}
    own = [column for column in columns if not column.is_in_array]
    by_name = {column.name: column for column in own}
    by_keys = {".".join(column.keys): column for column in own}
    by_path = {paths.shown(column.keys): column for column in own}
    as_written = {column.path or column.name: column for column in own}
    return arrays | by_name | by_keys | by_path | as_written


def field_of(column: ColumnSpec) -> ColumnSpec:
    """What the field of a column holds: of a path into an array, the array as JSON."""
    if not column.is_in_array:
        return column
    keys = takewhile(lambda segment: isinstance(segment, str), column.segments)
    path = paths.shown(tuple(keys))
    return ColumnSpec(name=path, type="Array(String)", path=path)


def template(header: Sequence[str], columns: Sequence[ColumnSpec]) -> Template:
    """The template for a header of column paths or names, and of others that no column has."""
    by_name = known(columns)
    tree: dict[str, Any] = {}
    for index, key in enumerate(header):
        column = by_name.get(key)
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
    return _text if column is None else _writer_of(column)


def _writer_of(column: ColumnSpec) -> Write:
    kind = column.type.strip()
    while wrapped := _WRAPPER.match(kind):
        kind = wrapped[1].strip()
    if _is_text(column.format, kind):
        return _filled
    if _NUMERIC.match(kind):
        return _number
    if kind == "Bool":
        return _literal
    if _NESTED.match(kind):
        return _nested
    return _text if column.required else _optional(kind)


def _optional(kind: str) -> Write:
    return _optional_text if _TEXTUAL.match(kind) else _filled


def _is_text(form: str, kind: str) -> bool:
    """Whether a format asks for a text where the type alone would not, and nothing is no text."""
    if form == value_formats.JSON:
        return True
    return value_formats.is_of_texts(form) and not _NESTED.match(kind) and not _TEXTUAL.match(kind)


def _text(field: str) -> str:
    return json.dumps(field, ensure_ascii=False)


def _filled(field: str) -> str:
    return _text(field) if field else "null"


def _optional_text(field: str) -> str:
    return _text(field) if field or isinstance(field, Quoted) else "null"


def _number(field: str) -> str:
    return field if _NUMBER.match(field) else _filled(field)


def _literal(field: str) -> str:
    return field if field in {"true", "false"} else _filled(field)


def _nested(field: str) -> str:
    return field if field[:1] in {"[", "{"} else _filled(field)
