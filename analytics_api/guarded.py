"""A statement that the guard and ClickHouse's own parser let pass, and its parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from analytics_api import asterisk, identifiers
from analytics_api.guard import Declared, QueryRefused, check, check_as_written, text_of
from analytics_api.parameters import Misfit, ParameterType, values
from analytics_api.parameters.types import IDENTIFIER, names_of
from tenants.lifecycle import registry
from tenants.warehouse import client
from tenants.warehouse.errors import StatementFailed

#: Whether a statement has parameters that are names.
_HAS_NAMES = re.compile(r"\{\s*\w+\s*:\s*Identifier\s*\}")
#: What can be said of a parameter that SQL can't say; ``allowed`` of an Identifier alone.
_SAID = ("default", "example", "description", "allowed")
#: Engines of tables that are there for the way in: nothing can be read from them.
_NOT_READABLE = ("Null", "MaterializedView")
_TABLES_SQL = (
    "SELECT name FROM system.tables WHERE database = {database:String} "
    "AND engine NOT IN {engines:Array(String)} ORDER BY name"
)


@dataclass(frozen=True)
class Guarded:
    """A statement that the guard and ClickHouse's parser let pass, and its parameters.

    ``settings`` are ClickHouse's that it asks for; they are sent beside its text.
    """

    sql: str
    parameters: list[dict[str, Any]]
    settings: Mapping[str, str] = field(default_factory=dict)


def readable_tables(database: str) -> list[str]:
    """Names of the tables that a tenant's queries may read; raises WarehouseError."""
    bound = {"database": database, "engines": list(_NOT_READABLE)}
    found = [row["name"] for row in client.rows(_TABLES_SQL, bound)]
    return [name for name in found if not any(is_note(name) for is_note in registry.notes)]


def guard_query(database: str, sql: str, described: Mapping[str, Any] | None = None) -> Guarded:
    """Put a statement through the guard and ClickHouse's parser, as ``check_query`` does.

    Its tables are those of ``database``. Raises QueryRefused and WarehouseError.
    """
    said, tables = _said(described or {}), readable_tables(database)
    if _HAS_NAMES.search(sql):
        return _with_names(database, sql, said, tables)
    found = check(sql, tables=tables, database=database, ask=client.read_only_rows)
    starred = asterisk.own_columns(found.sql, tables, is_written=found.is_written)
    if starred != found.sql:
        with suppress(QueryRefused):
            again = check(starred, tables=tables, database=database, ask=client.read_only_rows)
            found = replace(found, sql=again.sql)
    return Guarded(found.sql, _parameters(found.parameters, said), found.settings)


def _with_names(database: str, sql: str, said: Mapping[str, Any], tables: Sequence[str]) -> Guarded:
    """Of a statement with ``{name:Identifier}``, each statement that it can become is checked.

    Names are put into the author's own text, so it is that text that is checked and runs.
    """
    bare = text_of(sql)
    if text_of(bare) != bare:
        msg = "A saved query is one statement: leave out the semicolons at its end."
        raise QueryRefused("one_statement", msg)
    choices = {one: identifiers.allowed(one, said.get(one)) for one in identifiers.names_in(bare)}
    declared = {name: names_of(choices[name]) for name in choices}
    for statement in identifiers.statements(bare, choices):
        found = check(statement, tables=tables, database=database).parameters
        declared |= _values_among(found, choices)
    text = _own_columns(bare, choices, tables, database)
    for statement in identifiers.statements(text, choices):
        check_as_written(statement, tables=tables, database=database, ask=client.read_only_rows)
    in_order = [Declared(name, declared[name]) for name in identifiers.order(bare)]
    return Guarded(text, _parameters(in_order, said))


def _said(described: Any) -> Mapping[str, Any]:
    if not isinstance(described, Mapping):
        msg = 'Parameters are described by their names: {"day": {"example": "2026-01-31"}}.'
        raise QueryRefused("parameter", msg)
    return described


def _values_among(
    found: Sequence[Declared], choices: Mapping[str, Sequence[str]]
) -> dict[str, ParameterType]:
    for one in found:
        if one.name in choices:
            msg = f"{{{one.name}}} is {IDENTIFIER} and {one.type}. Choose one."
            raise QueryRefused("parameter", msg)
    return {one.name: one.type for one in found}


def _own_columns(
    sql: str, choices: Mapping[str, Sequence[str]], tables: Sequence[str], database: str
) -> str:
    """With each ``*`` held to the tenant's own columns, where the guard lets that pass."""
    text = asterisk.own_columns(sql, tables)
    try:
        for statement in identifiers.statements(text, choices) if text != sql else ():
            check(statement, tables=tables, database=database)
    except QueryRefused:
        return sql
    return text


def _parameters(declared: Sequence[Declared], described: Mapping[str, Any]) -> list[dict[str, Any]]:
    unknown = set(described) - {parameter.name for parameter in declared}
    if unknown:
        msg = f"The SQL has no parameter {', '.join(sorted(unknown))}. Write it as {{name:Type}}."
        raise QueryRefused("parameter", msg)
    return [_parameter(one, described.get(one.name) or {}) for one in declared]


def _parameter(declared: Declared, said: Any) -> dict[str, Any]:
    is_name = bool(said) and "allowed" in said and declared.type.base == IDENTIFIER
    known = _SAID if is_name else _SAID[:3]
    if not isinstance(said, Mapping) or set(said) - set(known):
        msg = f"{declared.name}: only {', '.join(known)} can be given for a parameter."
        raise QueryRefused("parameter", msg)
    stored: dict[str, Any] = {"name": declared.name, "type": str(declared.type)}
    if is_name:
        stored["allowed"] = [name for name, _ in declared.type.choices]
    for member in ("default", "example"):
        if member in said:
            _check_value(declared, member, said[member])
            stored[member] = said[member]
    if said.get("description"):
        stored["description"] = str(said["description"])
    return stored


def _check_value(declared: Declared, member: str, value: Any) -> None:
    try:
        values.encode(declared.type, value)
    except Misfit as misfit:
        reason = f": {misfit.reason}" if misfit.reason else ""
        msg = f"{declared.name}: its {member} must be {misfit}, not {value!r}{reason}."
        raise QueryRefused("parameter", msg) from None


def by_engine(error: StatementFailed) -> QueryRefused:
    message = error.message.removeprefix("Syntax error").split(": In scope ")[0]
    return QueryRefused(f"clickhouse_{error.code}", f"ClickHouse refuses it: {message}")
