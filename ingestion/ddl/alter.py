"""Statements that alter a table in ClickHouse to match its description, or the reasons why not.

Columns can be added, widened and dropped from the description (a dropped column keeps its data).
Changes that would rewrite or lose rows are refused, with what to do instead. Statements that can
fail come before the pipeline, and a version's pipeline is created beside that of the version
before: a change that ClickHouse refuses leaves a working table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ingestion.ddl import names, parse_view
from ingestion.ddl.create import (
    at,
    column,
    drop_pipeline,
    kept_tables,
    on,
    pipeline,
    quarantine_columns,
    quarantine_ttl,
    sorting_key,
    ttl,
)
from ingestion.ddl.errors import CannotAlter, SpecProblem
from ingestion.ddl.spec import TableSpec
from ingestion.ddl.types import INTEGERS, ColumnType, canonical, parse
from tenants.warehouse.quoting import string


@dataclass(frozen=True)
class Existing:
    """A table in ClickHouse: ``columns`` maps names to types; keys are as ClickHouse writes them.

    ``key_columns``: names of the columns that a key of the table uses.
    """

    columns: Mapping[str, str]
    sorting_key: str
    partition_key: str
    has_ttl: bool
    key_columns: frozenset[str] = frozenset()


def read_existing(spec: TableSpec) -> tuple[str, str]:
    """Two queries that read an existing table.

    The first returns its columns (name, type, is_in_key), the second the table (sorting_key,
    partition_key, has_ttl).
    """
    where = f"database = {string(spec.database)}"
    return (
        (
            "SELECT name, type, is_in_sorting_key OR is_in_partition_key AS is_in_key "
            f"FROM system.columns WHERE {where} AND table = {string(spec.name)}"
        ),
        (
            "SELECT sorting_key, partition_key, position(engine_full, ' TTL ') > 0 AS has_ttl "
            f"FROM system.tables WHERE {where} AND name = {string(spec.name)}"
        ),
    )


def alter(spec: TableSpec, existing: Existing | None, *, is_new: bool = True) -> list[str]:
    """Statements that create or alter the table; safe to repeat after a failure.

    ``existing`` is None if the table does not exist. ``is_new``: this version has never inserted
    anything, so leftovers of a failed attempt at its pipeline are removed first. Raises
    CannotAlter.
    """
    changes: list[str] = []
    if existing is not None:
        if problems := refusals(spec, existing):
            raise CannotAlter(problems)
        changes = _changes(spec, existing)
    left = drop_pipeline(spec) if is_new else []
    return [*kept_tables(spec), *changes, *left, *pipeline(spec)]


def refusals(spec: TableSpec, existing: Existing) -> list[SpecProblem]:
    """Problems for which the table in ClickHouse can't be altered to match the description."""
    return [*_key_problems(spec, existing), *_column_problems(spec, existing)]


def _key_problems(spec: TableSpec, existing: Existing) -> Iterator[SpecProblem]:
    pairs = (
        ("sorting_key", ", ".join(sorting_key(spec)), existing.sorting_key),
        ("partition_key", spec.partition_key, existing.partition_key),
    )
    for field, wanted, stands in pairs:
        if _normal(wanted) != _normal(stands):
            message = (
                f"The {field.replace('_', ' ')} of {spec.name} is {stands or 'empty'} and can't "
                f"become {wanted or 'empty'}: ClickHouse stores the rows by it. Create a new table "
                "with that key, and backfill it."
            )
            yield SpecProblem(None, field, message)


def _column_problems(spec: TableSpec, existing: Existing) -> Iterator[SpecProblem]:
    for one in parse_view.columns(spec):
        name, stands = one.spec.name, existing.columns.get(one.spec.name)
        if stands is None or _same(parse(stands), one.kind):
            continue
        if not widens(parse(stands), one.kind):
            message = (
                f"Column {name} is {stands} and can't become {one.spec.type}, because existing "
                "values might not fit. Add a column of another name with that type, on the same "
                "path."
            )
            yield SpecProblem(name, "type", message)
        elif name in existing.key_columns and one.kind.bare.name not in _SAFE_IN_KEYS:
            message = (
                f"Column {name} is {stands} and part of the table's keys, so ClickHouse does not "
                "allow this change. Create a new table with the wider type, and backfill it."
            )
            yield SpecProblem(name, "type", message)


def _normal(key: str) -> str:
    plain = "".join(key.split()).replace("`", "")
    while plain.startswith("(") and plain.endswith(")"):
        plain = plain[1:-1]
    return plain.removeprefix("tuple()")


def _changes(spec: TableSpec, existing: Existing) -> list[str]:
    """One statement a table, since ClickHouse checks all of one before it changes anything."""
    commands = [*_column_commands(spec, existing), *_ttl_commands(spec, existing)]
    changes = [f"ALTER TABLE {at(spec, spec.name)}{on(spec)} {', '.join(commands)}"]
    kept = at(spec, names.quarantine(spec.name))
    parts = [*quarantine_columns(spec), f"MODIFY {quarantine_ttl(spec)}"]
    quarantine = f"ALTER TABLE {kept}{on(spec)} {', '.join(parts)}"
    filtered = f"ALTER TABLE {at(spec, names.filtered(spec.name))}{on(spec)}"
    lifetime = [f"{filtered} MODIFY {quarantine_ttl(spec)}"] if spec.keeps_filtered else []
    return [*(changes if commands else []), quarantine, *lifetime]


def _column_commands(spec: TableSpec, existing: Existing) -> Iterator[str]:
    for one in parse_view.columns(spec):
        stands = existing.columns.get(one.spec.name)
        if stands is None:
            yield f"ADD COLUMN IF NOT EXISTS {column(one)}"
        elif not _same(parse(stands), one.kind):
            yield f"MODIFY COLUMN {column(one)}"


def _ttl_commands(spec: TableSpec, existing: Existing) -> Iterator[str]:
    if ttl(spec):
        yield f"MODIFY TTL {ttl(spec)}"
    elif existing.has_ttl:
        yield "REMOVE TTL"


def _same(stands: ColumnType, wanted: ColumnType) -> bool:
    return canonical(stands) == canonical(wanted)


def widens(stands: ColumnType, wanted: ColumnType) -> bool:
    """Whether every value of ``stands`` is one of ``wanted``."""
    if stands.is_nullable and not wanted.is_nullable:
        return False
    before, after = stands.bare, wanted.bare
    if _same(before, after):
        return True
    if (before.name, after.name) in _WIDER:
        return True
    grows = _GROWS.get(before.name)
    return grows is not None and before.name == after.name and grows(before, after)


def is_wider(before: str, after: str) -> bool:
    """Whether ``after`` is another type, which holds every value of ``before``."""
    kinds = parse(before), parse(after)
    return not _same(*kinds) and widens(*kinds)


def _digits_grow(before: ColumnType, after: ColumnType) -> bool:
    digits, scale = (int(str(one)) for one in before.args)
    new_digits, new_scale = (int(str(one)) for one in after.args)
    return new_scale >= scale and new_digits - new_scale >= digits - scale


def _names_grow(before: ColumnType, after: ColumnType) -> bool:
    old = set(zip(before.args[::2], before.args[1::2], strict=True))
    return old <= set(zip(after.args[::2], after.args[1::2], strict=True))


_GROWS: dict[str, Callable[[ColumnType, ColumnType], bool]] = {
    "Decimal": _digits_grow,
    "Enum8": _names_grow,
    "Enum16": _names_grow,
    "DateTime64": lambda before, after: after.number >= before.number,
}
#: Types that may grow in a key: the numbers that stand for the names stay what they are.
_SAFE_IN_KEYS = frozenset({"Enum8", "Enum16"})
#: Pairs of types without arguments of which the second holds all values of the first.
_WIDER = {("Float32", "Float64"), ("Date", "Date32")} | {
    (one, other)
    for one, (low, high) in INTEGERS.items()
    for other, (new_low, new_high) in INTEGERS.items()
    if new_low <= low and high <= new_high
}
