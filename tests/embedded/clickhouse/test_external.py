"""Tables that come with a query: their names, their columns, and none left after an error."""

from __future__ import annotations

from typing import Any

import pytest

from millrace.embedded.clickhouse import external
from millrace.embedded.clickhouse.errors import EngineError, refuse


class FakeConnection:
    """Notes what is run and inserted; refuses statements and data that contain a given word."""

    def __init__(self, refused: str = "\0") -> None:
        self.refused = refused
        self.statements: list[str] = []
        self.inserted: list[tuple[str, str, bytes]] = []

    def run(self, sql: str) -> None:
        if self.refused in sql:
            raise refuse(36, "refused")
        self.statements.append(sql)

    def insert(self, sql: str, form: str) -> Any:
        return FakeInsert(self, sql, form)


class FakeInsert:
    def __init__(self, connection: FakeConnection, sql: str, form: str) -> None:
        self._connection, self._sql, self._form, self._data = connection, sql, form, b""

    def append(self, data: bytes) -> None:
        self._data += data

    def finish(self) -> None:
        if self._connection.refused.encode() in self._data:
            raise refuse(117, "refused")
        self._connection.inserted.append((self._sql, self._form, self._data))


def load(
    connection: Any, files: dict[str, bytes], parameters: dict[str, str] | None = None
) -> list[str]:
    return external.load(connection, files, parameters or {})


def test_a_table_is_named_after_its_file_without_the_extension() -> None:
    assert external.names({"ids.csv": b"", "a.b.tsv": b"", "plain": b""}) == ["ids", "a.b", "plain"]


def test_each_file_is_loaded_in_its_format_under_a_quoted_name() -> None:
    connection = FakeConnection()
    given = {"ids_structure": "id UInt8", "ids_format": "CSV", "b`c_types": "String"}
    assert load(connection, {"ids.csv": b"1\n", "b`c": b"x\n"}, given) == ["ids", "b`c"]
    assert connection.statements == [
        "CREATE TEMPORARY TABLE `ids` (id UInt8)",
        "CREATE TEMPORARY TABLE `b\\`c` (_1 String)",
    ]
    assert connection.inserted == [
        ("INSERT INTO `ids`", "CSV", b"1\n"),
        ("INSERT INTO `b\\`c`", "TabSeparated", b"x\n"),
    ]


def test_types_alone_give_numbered_columns_and_commas_within_brackets_do_not_split() -> None:
    connection = FakeConnection()
    types = "Array(Tuple(a Int8, b Int8)), String , Decimal(9, 2)"
    load(connection, {"t": b""}, {"t_types": types})
    columns = "_1 Array(Tuple(a Int8, b Int8)), _2 String, _3 Decimal(9, 2)"
    assert connection.statements == [f"CREATE TEMPORARY TABLE `t` ({columns})"]


def test_a_structure_takes_precedence_over_types() -> None:
    connection = FakeConnection()
    load(connection, {"t": b""}, {"t_types": "String", "t_structure": "n Int8"})
    assert connection.statements == ["CREATE TEMPORARY TABLE `t` (n Int8)"]


def test_a_file_without_columns_is_refused_before_any_statement() -> None:
    connection = FakeConnection()
    with pytest.raises(EngineError, match="needs ids_structure or ids_types") as refused:
        load(connection, {"ids": b"1\n"}, {"ids_types": " , "})
    assert refused.value.code == 36
    assert connection.statements == []


def test_tables_of_a_request_that_failed_are_dropped() -> None:
    """They stayed on a session's connection, where the corrected request found them taken."""
    connection = FakeConnection(refused="bad")
    with pytest.raises(EngineError) as failed:
        load(connection, {"a": b"1\n", "b": b"bad\n"}, {"a_types": "UInt8", "b_types": "UInt8"})
    assert failed.value.code == 117
    assert connection.statements[2:] == [
        "DROP TEMPORARY TABLE IF EXISTS `a`",
        "DROP TEMPORARY TABLE IF EXISTS `b`",
    ]


def test_a_table_that_the_session_already_had_is_not_dropped() -> None:
    connection = FakeConnection(refused="CREATE TEMPORARY TABLE `taken`")
    with pytest.raises(EngineError):
        load(connection, {"taken": b"1\n"}, {"taken_types": "UInt8"})
    assert connection.statements == []
