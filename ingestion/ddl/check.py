"""Checks a table's description without asking ClickHouse."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ingestion.ddl import computed, metadata, source_filters, value_formats
from ingestion.ddl.defaults import problem_of
from ingestion.ddl.errors import SpecError, SpecProblem
from ingestion.ddl.paths import Segments, shown, unreadable
from ingestion.ddl.spec import ColumnSpec, TableSpec
from ingestion.ddl.types import CONTAINERS, ColumnType, UnknownType, parse
from tenants.warehouse.statements import MOST_DAYS

_COLUMN = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}\Z")
#: Names within an expression that are not followed by a bracket, so they are not functions.
_NAME = re.compile(r"(?<![\w.'`])([A-Za-z_]\w*)(?!\s*\()(?!\w)")
_TEXT = re.compile(r"'(?:[^'\\]|\\.)*'")
_WORDS = frozenset(
    {
        *("INTERVAL", "SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR"),
        *("AND", "OR", "NOT", "IN", "NULL", "DIV", "MOD", "ASC", "DESC"),
        *("DELETE", "WHERE", "TO", "DISK", "VOLUME", "RECOMPRESS"),
    }
)
#: Expressions go into DDL unchanged, so nothing that could end one is allowed.
_REFUSED = re.compile(r"[;\0]|--|/\*|\b(?:SELECT|SETTINGS|ENGINE)\b", re.IGNORECASE)


def check(spec: TableSpec, *, stands: bool = False) -> None:
    """Raise SpecError with all problems of the description.

    ``stands``: it was saved before, perhaps by a version that accepted unreadable paths. Such a
    table keeps working; ``ingestion.checks`` and the table's page warn about it.
    """
    problems = [*_columns(spec), *_keys(spec)]
    if not stands:
        problems += _unreadable(spec)
    if problems:
        raise SpecError(problems)


def _columns(spec: TableSpec) -> Iterator[SpecProblem]:
    if not spec.columns:
        yield SpecProblem(None, "columns", "A table needs at least one column.")
    seen: set[str] = set()
    for one in spec.columns:
        if not _COLUMN.match(one.name):
            message = "Use up to 63 letters, digits and underscores. Start with a letter."
            yield SpecProblem(one.name, "name", message)
        if one.name in seen:
            yield SpecProblem(one.name, "name", "Another column has this name. Choose another.")
        seen.add(one.name)
        yield from _metadata(one)
        yield from _column(one)
    for column, message in computed.problems(spec.columns):
        yield SpecProblem(column, "expression", message)
    for source_filter, message in source_filters.problems(spec.columns, spec.filters):
        yield source_filters.problem(source_filter, message)
    yield from _paths(spec)


def _metadata(one: ColumnSpec) -> Iterator[SpecProblem]:
    if one.metadata and (wrong := metadata.problem_of(one.metadata)):
        yield SpecProblem(one.name, "metadata", wrong)
    if one.metadata and one.path:
        message = "It reads metadata, and a path leads into the message. Remove one of them."
        yield SpecProblem(one.name, "path", message)


def _column(one: ColumnSpec) -> Iterator[SpecProblem]:
    is_plain = ".".join(one.keys) == (one.path or one.name)
    is_empty = is_plain and not all(one.keys) and not unreadable(one.path)
    if is_empty or "\0" in one.path:
        message = "Write keys joined by single dots, such as user.country."
        yield SpecProblem(one.name, "path", message)
    try:
        kind = parse(one.type)
    except UnknownType as error:
        yield SpecProblem(one.name, "type", str(error))
        return
    if one.is_of_each and kind.name != "Array":
        message = (
            f"[*] reads an array, and {one.type} is none. Use Array({one.type}) or, for one "
            "element, its index, such as [0]."
        )
        yield SpecProblem(one.name, "path", message)
    if one.format and (message := _wrong_format(kind, one)):
        yield SpecProblem(one.name, "format", message)
    if not one.expression:
        yield from _default(one, kind)


def _default(one: ColumnSpec, kind: ColumnType) -> Iterator[SpecProblem]:
    if one.default is not None:
        wrong = problem_of(kind, one.default)
        if one.required:
            message = "A required column can't have a default. Make it optional, or remove this."
            yield SpecProblem(one.name, "default", message)
        elif wrong:
            yield SpecProblem(one.name, "default", wrong)
    elif not one.required and not kind.is_nullable:
        message = (
            f"A column that is not required needs a default, or a type that can be null: "
            f"{_nullable(kind)}."
        )
        yield SpecProblem(one.name, "default", message)


def _wrong_format(kind: ColumnType, one: ColumnSpec) -> str:
    if one.format == value_formats.JSON and one.is_of_each:
        return "A path with [*] reads many values, and json is for one. Leave it empty."
    return value_formats.problem_of(kind, one.format)


def _unreadable(spec: TableSpec) -> Iterator[SpecProblem]:
    for one in metadata.of_message(spec.columns):
        if message := unreadable(one.path):
            yield SpecProblem(one.name, "path", message)


def _nullable(kind: ColumnType) -> str:
    if kind.name == "Tuple":
        return "it is a tuple, so give an object with all its names as its default"
    if kind.name in CONTAINERS:
        return "it is an array or a map, so give [] or {} as its default"
    if kind.name == "LowCardinality":
        return f"LowCardinality(Nullable({kind.inner}))"
    return f"Nullable({kind})"


def _paths(spec: TableSpec) -> Iterator[SpecProblem]:
    """Problems with what paths lead through: a scalar, or both an object and an array."""
    columns = metadata.of_message(spec.columns)
    scalars = {one.segments: one.name for one in columns if not _is_container(one)}
    parents: dict[Segments, tuple[str, str]] = {}
    for one in columns:
        for length, below in enumerate(one.segments[1:], 1):
            path = one.segments[:length]
            kind = "an object" if isinstance(below, str) else "an array"
            above = scalars.get(path)
            if above is not None:
                message = f"Column {above} reads a value at {shown(path)}, so it can't be {kind}."
                yield SpecProblem(one.name, "path", message)
            other, other_kind = parents.setdefault(path, (one.name, kind))
            if kind != other_kind:
                message = (
                    f"Column {other} takes {shown(path)} for {other_kind}, so it can't be {kind}."
                )
                yield SpecProblem(one.name, "path", message)


def _is_container(one: ColumnSpec) -> bool:
    if one.format == value_formats.JSON:
        return False
    try:
        return parse(one.type).name in CONTAINERS
    except UnknownType:
        return False


def _keys(spec: TableSpec) -> Iterator[SpecProblem]:
    nullable = {one.name for one in spec.columns if _is_nullable(one)}
    for part in spec.sorting_key:
        yield from _expression(spec, "sorting_key", part)
        if part in nullable:
            message = f"{part} can be null. Choose columns that can't be null."
            yield SpecProblem(None, "sorting_key", message)
    for field, expression in (("partition_key", spec.partition_key), ("ttl", spec.ttl)):
        if expression:
            yield from _expression(spec, field, expression)
    if not 1 <= spec.quarantine_days <= MOST_DAYS:
        message = f"Enter a number of days from 1 to {MOST_DAYS}."
        yield SpecProblem(None, "quarantine_days", message)


def _is_nullable(one: ColumnSpec) -> bool:
    try:
        return parse(one.type).is_nullable
    except UnknownType:
        return False


def _expression(spec: TableSpec, field: str, expression: str) -> Iterator[SpecProblem]:
    bare = _TEXT.sub("''", expression)
    if _REFUSED.search(bare) or not _is_balanced(bare):
        message = f"{expression!r} is not a single expression over the table's columns."
        yield SpecProblem(None, field, message)
        return
    known = {one.name for one in spec.columns} | {"_timestamp", "_ingested_at", "_offset"}
    used = [name for name in _NAME.findall(bare) if name.upper() not in _WORDS]
    for name in used:
        if name not in known:
            columns = ", ".join(one.name for one in spec.columns)
            yield SpecProblem(None, field, f"There is no column {name!r}. Columns: {columns}.")


def _is_balanced(expression: str) -> bool:
    depth = 0
    for sign in expression:
        depth += {"(": 1, ")": -1}.get(sign, 0)
        if depth < 0:
            return False
    return depth == 0
