"""Passes a statement through the guard and ClickHouse's own parser, with its parameters."""

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

#: Matches a parameter that is a name, not a value.
_HAS_NAMES = re.compile(r"\{\s*\w+\s*:\s*Identifier\s*\}")
#: Members of a parameter's description; ``allowed`` is for Identifier parameters only.
_SAID = ("default", "example", "description", "allowed")
#: Engines of the tables on the ingestion path: nothing can be read from them.
_NOT_READABLE = ("Null", "MaterializedView")
_TABLES_SQL = (
    "SELECT name FROM system.tables WHERE database = {database:String} "
    "AND engine NOT IN {engines:Array(String)} ORDER BY name"
)


@dataclass(frozen=True)
class Guarded:
    """A statement that passed the guard and ClickHouse's parser, and its parameters.

    ``settings`` are the ClickHouse settings that the statement sets. They are sent beside its text.
    """

    sql: str
    parameters: list[dict[str, Any]]
    settings: Mapping[str, str] = field(default_factory=dict)


def readable_tables(database: str) -> list[str]:
    """Names of the tables that a tenant's queries may read; raises WarehouseError."""
    bound = {"database": database, "engines": list(_NOT_READABLE)}
    names = [row["name"] for row in client.rows(_TABLES_SQL, bound)]
    return [name for name in names if not any(is_note(name) for is_note in registry.notes)]


def guard_query(database: str, sql: str, described: Mapping[str, Any] | None = None) -> Guarded:
    """Pass a statement through the guard and ClickHouse's parser, as ``check_query`` does.

    It may read the tables of ``database``. Raises QueryRefused and WarehouseError.
    """
    said, tables = _said(described or {}), readable_tables(database)
    if _HAS_NAMES.search(sql):
        return _with_names(database, sql, said, tables)
    query = check(sql, tables=tables, database=database, ask=client.read_only_rows)
    starred = asterisk.own_columns(query.sql, tables, is_written=query.is_written)
    if starred != query.sql:
        # The guard checks every text that runs. If it refuses this one, the first text runs.
        with suppress(QueryRefused):
            again = check(starred, tables=tables, database=database, ask=client.read_only_rows)
            query = replace(query, sql=again.sql)
    return Guarded(query.sql, _parameters(query.parameters, said), query.settings)


def _with_names(database: str, sql: str, said: Mapping[str, Any], tables: Sequence[str]) -> Guarded:
    """Check every statement that a text with ``{name:Identifier}`` can become.

    The names are put into the author's own text, so that text is checked, and it runs.
    """
    bare = text_of(sql)
    if text_of(bare) != bare:
        msg = "A saved query is one statement. Remove the semicolons at its end."
        raise QueryRefused("one_statement", msg)
    choices = {
        name: identifiers.allowed(name, said.get(name)) for name in identifiers.names_in(bare)
    }
    declared = {name: names_of(choices[name]) for name in choices}
    for statement in identifiers.statements(bare, choices):
        parameters = check(statement, tables=tables, database=database).parameters
        declared |= _values_among(parameters, choices)
    text = _own_columns(bare, choices, tables, database)
    for statement in identifiers.statements(text, choices):
        check_as_written(statement, tables=tables, database=database, ask=client.read_only_rows)
    in_order = [Declared(name, declared[name]) for name in identifiers.order(bare)]
    return Guarded(text, _parameters(in_order, said))


def _said(described: Any) -> Mapping[str, Any]:
    if not isinstance(described, Mapping):
        msg = 'Describe parameters by name: {"day": {"example": "2026-01-31"}}.'
        raise QueryRefused("parameter", msg)
    return described


def _values_among(
    parameters: Sequence[Declared], choices: Mapping[str, Sequence[str]]
) -> dict[str, ParameterType]:
    for parameter in parameters:
        if parameter.name in choices:
            msg = f"{{{parameter.name}}} is {IDENTIFIER} and {parameter.type}. Choose one type."
            raise QueryRefused("parameter", msg)
    return {parameter.name: parameter.type for parameter in parameters}


def _own_columns(
    sql: str, choices: Mapping[str, Sequence[str]], tables: Sequence[str], database: str
) -> str:
    """``sql`` with each ``*`` limited to its table's own columns, if the guard accepts that."""
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
    return [_parameter(parameter, described.get(parameter.name) or {}) for parameter in declared]


def _parameter(declared: Declared, said: Any) -> dict[str, Any]:
    is_name = bool(said) and "allowed" in said and declared.type.base == IDENTIFIER
    known = _SAID if is_name else _SAID[:3]
    if not isinstance(said, Mapping) or set(said) - set(known):
        msg = f"{declared.name}: a parameter's description may have only {', '.join(known)}."
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
    """The refusal of a statement that ClickHouse can't analyse, with ClickHouse's message."""
    message = error.message.removeprefix("Syntax error").split(": In scope ")[0]
    return QueryRefused(f"clickhouse_{error.code}", f"ClickHouse refuses the query: {message}")
