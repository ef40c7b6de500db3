"""External data: tables that a request sends with its query, loaded as temporary tables."""

from __future__ import annotations

from collections.abc import Mapping

from millrace.embedded.clickhouse.engine import EngineConnection
from millrace.embedded.clickhouse.errors import EngineError, refuse
from tenants.warehouse.quoting import identifier


def _structure(name: str, parameters: Mapping[str, str]) -> str:
    structure = parameters.get(f"{name}_structure", "")
    if structure:
        return structure
    types = _split(parameters.get(f"{name}_types", ""))
    if not types:
        raise refuse(36, f"External table {name} needs {name}_structure or {name}_types.")
    return ", ".join(f"_{number} {kind}" for number, kind in enumerate(types, 1))


def _split(types: str) -> list[str]:
    """Split at the commas outside of brackets, as in Array(Tuple(a Int8, b Int8)), String."""
    parts, depth = [""], 0
    for sign in types:
        depth += (sign == "(") - (sign == ")")
        if sign == "," and not depth:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts if part.strip()]


def names(files: Mapping[str, bytes]) -> list[str]:
    """The tables' names: the names of the form's files without their extension."""
    return [name.rsplit(".", 1)[0] for name in files]


def load(
    connection: EngineConnection, files: Mapping[str, bytes], parameters: Mapping[str, str]
) -> list[str]:
    """Load each file into a temporary table; returns the tables' names. Raises EngineError.

    After an error none of the tables is left: on a session's connection they would be in the way
    of the next request's.
    """
    tables: list[str] = []
    try:
        for field, data in files.items():
            name = field.rsplit(".", 1)[0]
            table = identifier(name)
            connection.run(f"CREATE TEMPORARY TABLE {table} ({_structure(name, parameters)})")
            tables.append(name)
            target = connection.insert(
                f"INSERT INTO {table}", parameters.get(f"{name}_format", "TabSeparated")
            )
            target.append(data)
            target.finish()
    except EngineError:
        drop(connection, tables)
        raise
    return tables


def drop(connection: EngineConnection, tables: list[str]) -> None:
    """Drop the tables from a connection that is used again."""
    for name in tables:
        connection.run(f"DROP TEMPORARY TABLE IF EXISTS {identifier(name)}")
