"""Rehearsals: a change is made to an empty twin of a table first, by the same statements.

What ClickHouse refuses, it refuses there: types that it does not know, keys that it can't sort by,
a column of a key that can't change. The twin stands in a database of its own, which tenants can't
see, for as long as the rehearsal takes.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from ingestion import ddl
from tenants.warehouse import client
from tenants.warehouse.errors import StatementFailed
from tenants.warehouse.quoting import identifier

PREFIX = "millrace_rehearsal_"
_ENGINE = (
    "SELECT engine FROM system.tables WHERE database = {database:String} AND name = {name:String}"
)
#: Seconds after which a rehearsal's database was left by a process that died.
_LEFT_AFTER = 3600


@contextmanager
def stage() -> Iterator[str]:
    """The name of an empty database, which is dropped after it; raises WarehouseError."""
    name = f"{PREFIX}{int(time.time())}_{secrets.token_hex(6)}"
    client.execute([f"CREATE DATABASE {identifier(name)}"])
    try:
        yield name
    finally:
        client.execute([_drop(name)])


def rehearse(spec: ddl.TableSpec, existing: ddl.Existing | None, database: str) -> None:
    """Make, or alter, an empty twin of the table in ``database``.

    Raises SpecError with what ClickHouse refuses, and WarehouseUnreachable.
    """
    twin = replace(spec, database=database, cluster="", version=1)
    try:
        if existing is not None:
            copy(spec.database, spec.name, database)
        client.execute(ddl.alter(twin, existing))
    except StatementFailed as error:
        said = error.message.replace(f"{database}.", "").replace(f"`{database}`.", "")
        problem = ddl.SpecProblem(None, "columns", f"ClickHouse refuses it: {said}")
        raise ddl.SpecError([problem]) from error


def copy(database: str, name: str, to: str) -> None:
    """Make a table of the same columns and keys, without its rows; raises WarehouseError.

    What is no table of the MergeTree family, such as a view, becomes one without keys.
    """
    made, like = (
        f"{identifier(to)}.{identifier(name)}",
        f"{identifier(database)}.{identifier(name)}",
    )
    found = client.rows(_ENGINE, {"database": database, "name": name})
    is_plain = bool(found) and found[0]["engine"].endswith("MergeTree")
    client.execute([f"CREATE TABLE {made} AS {like}{'' if is_plain else ' ENGINE = Memory'}"])


def drop_left() -> None:
    """Drop what rehearsals have left whose process died; raises WarehouseError."""
    found = client.rows(
        "SELECT name FROM system.databases WHERE startsWith(name, {prefix:String})",
        {"prefix": PREFIX},
    )
    for row in found:
        began = row["name"].removeprefix(PREFIX).split("_")[0]
        if began.isdecimal() and time.time() - int(began) > _LEFT_AFTER:
            client.execute([_drop(row["name"])])


def _drop(name: str) -> str:
    return f"DROP DATABASE IF EXISTS {identifier(name)} SYNC"
