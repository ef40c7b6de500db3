"""From what stands in ClickHouse to what is described, or why not.

Columns can be added, widened and dropped from the description (the data of a dropped one stays).
What would rewrite or lose rows is refused, with what to do instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ingestion.ddl import names, parse_view
from ingestion.ddl.create import (
    at,
    column,
    create,
    drop_pipeline,
    on,
    pipeline,
    quarantine_ttl,
    sorting_key,
    ttl,
)
from ingestion.ddl.errors import CannotAlter
from ingestion.ddl.names import text
from ingestion.ddl.spec import TableSpec
from ingestion.ddl.types import INTEGERS, ColumnType, canonical, parse

#: Ours have names that begin so.
_OURS = "_"


@dataclass(frozen=True)
class Existing:
    """What stands: ``columns`` by name with their types; keys as ClickHouse writes them."""

    columns: Mapping[str, str]
    sorting_key: str
    partition_key: str
    has_ttl: bool


def read_existing(spec: TableSpec) -> tuple[str, str]:
    """Two queries: columns (name, type), and the table (sorting_key, partition_key, has_ttl)."""
    where = f"database = {text(spec.database)}"
    return (
        f"SELECT name, type FROM system.columns WHERE {where} AND table = {text(spec.name)}",
        (
            "SELECT sorting_key, partition_key, position(engine_full, ' TTL ') > 0 AS has_ttl "
            f"FROM system.tables WHERE {where} AND name = {text(spec.name)}"
        ),
    )


def alter(spec: TableSpec, existing: Existing | None) -> list[str]:
    """Statements that lead there; safe to repeat where they stopped. Raises CannotAlter.

    ``existing`` is None where there is no such table: then it is made.
    """
    if existing is None:
        return [*drop_pipeline(spec), *create(spec)]
    _refuse_keys(spec, existing)
    changes = [*_column_changes(spec, existing), *_ttl_changes(spec, existing)]
    tables = [one for one in create(spec) if one not in pipeline(spec)]
    return [*drop_pipeline(spec), *tables, *changes, *pipeline(spec)]


def _refuse_keys(spec: TableSpec, existing: Existing) -> None:
    pairs = (
        ("sorting key", ", ".join(sorting_key(spec)), existing.sorting_key),
        ("partition key", spec.partition_key, existing.partition_key),
    )
    for name, wanted, stands in pairs:
        if _normal(wanted) != _normal(stands):
            raise CannotAlter(
                f"The {name} of {spec.name} is {stands or 'empty'} and can't become "
                f"{wanted or 'empty'}: ClickHouse keeps the rows in its order. Make a new table "
                "with that key, and backfill it."
            )


def _normal(key: str) -> str:
    plain = "".join(key.split()).replace("`", "")
    while plain.startswith("(") and plain.endswith(")"):
        plain = plain[1:-1]
    return plain.removeprefix("tuple()")


def _column_changes(spec: TableSpec, existing: Existing) -> list[str]:
    table = f"ALTER TABLE {at(spec, spec.name)}{on(spec)}"
    changes = []
    for one in parse_view.columns(spec):
        stands = existing.columns.get(one.spec.name)
        if stands is None:
            changes.append(f"{table} ADD COLUMN IF NOT EXISTS {column(one)}")
        elif _same(parse(stands), one.kind):
            continue
        elif widens(parse(stands), one.kind):
            changes.append(f"{table} MODIFY COLUMN {column(one)}")
        else:
            raise CannotAlter(
                f"Column {one.spec.name} is {stands} and can't become {one.spec.type}, as rows "
                "that are there might not fit it. Add a column of another name with that type, "
                "on the same path."
            )
    return changes


def _ttl_changes(spec: TableSpec, existing: Existing) -> list[str]:
    table = f"ALTER TABLE {at(spec, spec.name)}{on(spec)}"
    changes = []
    if ttl(spec):
        changes.append(f"{table} MODIFY TTL {ttl(spec)}")
    elif existing.has_ttl:
        changes.append(f"{table} REMOVE TTL")
    kept = at(spec, names.quarantine(spec.name))
    changes.append(f"ALTER TABLE {kept}{on(spec)} MODIFY {quarantine_ttl(spec)}")
    return changes


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
#: Pairs of types without arguments of which the second holds all values of the first.
_WIDER = {("Float32", "Float64"), ("Date", "Date32")} | {
    (one, other)
    for one, (low, high) in INTEGERS.items()
    for other, (new_low, new_high) in INTEGERS.items()
    if new_low <= low and high <= new_high
}
