"""Rehearses a change on an empty copy of a table, with the same statements.

ClickHouse refuses there what it would refuse later: unknown types, keys that it can't sort by, a
key column that can't change. The copy is in a database of its own, which tenants can't see and
which is dropped after the rehearsal.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from ingestion import ddl
from ingestion.ddl import computed, source_filters
from ingestion.ddl.alter import widens
from ingestion.ddl.types import UnknownType, parse
from tenants.warehouse import client
from tenants.warehouse.errors import StatementFailed
from tenants.warehouse.quoting import identifier

PREFIX = "millrace_rehearsal_"
_ENGINE = (
    "SELECT engine FROM system.tables WHERE database = {database:String} AND name = {name:String}"
)
#: Seconds after which a rehearsal's database must be the leftover of a process that died.
_LEFT_AFTER = 3600


@contextmanager
def stage() -> Iterator[str]:
    """Yields the name of an empty database and drops it afterwards; raises WarehouseError."""
    name = f"{PREFIX}{int(time.time())}_{secrets.token_hex(6)}"
    client.execute([f"CREATE DATABASE {identifier(name)}"])
    try:
        yield name
    finally:
        client.execute([_drop(name)])


def rehearse(spec: ddl.TableSpec, existing: ddl.Existing | None, database: str) -> None:
    """Create or alter an empty copy of the table in ``database``.

    Raises SpecError with ClickHouse's reason if it refuses, and WarehouseUnreachable.
    """
    _check_expressions(spec)
    check_filters(spec)
    twin = replace(spec, database=database, cluster="", version=1)
    try:
        if existing is not None:
            copy(spec.database, spec.name, database)
        client.execute(ddl.alter(twin, existing))
    except StatementFailed as error:
        said = error.message.replace(f"{database}.", "").replace(f"`{database}`.", "")
        problem = ddl.SpecProblem(None, "columns", f"ClickHouse refuses this table: {said}")
        raise ddl.SpecError([problem]) from error


def _check_expressions(spec: ddl.TableSpec) -> None:
    """Raise SpecError for each computed column whose expression has another type than it."""
    problems = [
        ddl.SpecProblem(column.name, "expression", message)
        for column in spec.columns
        if column.expression and (message := _mistyped(spec, column))
    ]
    if problems:
        raise ddl.SpecError(problems)


def check_filters(spec: ddl.TableSpec) -> None:
    """Raise SpecError for each filter that can't be read, that ClickHouse refuses, or is none."""
    found = list(source_filters.problems(spec.columns, spec.filters))
    if not found:
        found = [(one, message) for one in spec.filters if (message := _no_filter(spec, one))]
    if found:
        raise ddl.SpecError([source_filters.problem(*one) for one in found])


def _no_filter(spec: ddl.TableSpec, one: ddl.SourceFilter) -> str:
    try:
        found = client.rows(source_filters.type_query(spec.columns, one))[0]["type"]
    except StatementFailed as error:
        return f"ClickHouse refuses it: {computed.named(spec.columns, error.message)}"
    return source_filters.not_condition(found)


def _mistyped(spec: ddl.TableSpec, column: ddl.ColumnSpec) -> str:
    """Why the expression's values are not all values of the column's type; empty if they are."""
    try:
        found = client.rows(computed.type_query(spec.columns, column))[0]["type"]
    except StatementFailed as error:
        return f"ClickHouse refuses it: {computed.named(spec.columns, error.message)}"
    try:
        if widens(parse(found), parse(column.type)):
            return ""
    except UnknownType:
        return f"It is {found}, which no column may have. Convert it, for example by toString."
    empty = " It may be null: use ifNull, or a type that can be null." if "Null" in found else ""
    return f"It is {found}, and not every such value fits {column.type}.{empty}"


def copy(database: str, name: str, to: str) -> None:
    """Create a table with the same columns and keys, without rows; raises WarehouseError.

    The copy of anything outside the MergeTree family, such as a view, is a table without keys.
    """
    made, like = (
        f"{identifier(to)}.{identifier(name)}",
        f"{identifier(database)}.{identifier(name)}",
    )
    rows = client.rows(_ENGINE, {"database": database, "name": name})
    is_plain = bool(rows) and rows[0]["engine"].endswith("MergeTree")
    client.execute([f"CREATE TABLE {made} AS {like}{'' if is_plain else ' ENGINE = Memory'}"])


def drop_left() -> None:
    """Drop the databases of rehearsals whose process died; raises WarehouseError."""
    databases = client.rows(
        "SELECT name FROM system.databases WHERE startsWith(name, {prefix:String})",
        {"prefix": PREFIX},
    )
    for row in databases:
        began = row["name"].removeprefix(PREFIX).split("_")[0]
        if began.isdecimal() and time.time() - int(began) > _LEFT_AFTER:
            client.execute([_drop(row["name"])])


def _drop(name: str) -> str:
    return f"DROP DATABASE IF EXISTS {identifier(name)} SYNC"
