"""Names and values in SQL: with every byte, as the real engine reads them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import urllib3

from tenants.warehouse import quoting
from tenants.warehouse.quoting import identifier, string, tab_separated, unquoted

#: Every byte as Python holds it in a text; those from 0x80 on are no UTF-8 on their own.
BYTES = [bytes([number]).decode("utf-8", "surrogateescape") for number in range(256)]
#: Each in places where a quote or an escape before or behind it could change what it is.
TEXTS = [f"{byte}a{byte}{byte}\\{byte}'{byte}`{byte}0{byte}" for byte in BYTES]
#: The same characters as UTF-8, and some beyond.
CHARACTERS = [chr(number) for number in (*range(256), 0x2028, 0xFEFF, 0x1F600)]


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


class Engine:
    def __init__(self, url: str) -> None:
        self.url = urlsplit(url)

    def __call__(self, sql: str, parameters: dict[str, str] | None = None) -> bytes:
        """The answer's bytes to a statement of any bytes."""
        at = f"http://{self.url.hostname}:{self.url.port}/"
        given = {f"param_{name}": value for name, value in (parameters or {}).items()}
        answer = urllib3.request(
            "POST",
            f"{at}?{urlencode(given, errors='surrogateescape')}",
            body=encoded(sql),
            headers={
                "X-ClickHouse-User": self.url.username or "",
                "X-ClickHouse-Key": self.url.password or "",
            },
            timeout=60,
        )
        assert answer.status == 200, answer.data[:500]
        return answer.data

    def strings(self, sql: str, parameters: dict[str, str] | None = None) -> list[bytes]:
        """The strings of a result, whatever their bytes: RowBinary has them with their length."""
        return list(_strings(self(f"{sql} FORMAT RowBinary", parameters)))


def _strings(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        size, at = _length(data, at)
        yield data[at : at + size]
        at += size


def _length(data: bytes, at: int) -> tuple[int, int]:
    """A number as LEB128, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value, shift, at = value | (byte & 0x7F) << shift, shift + 7, at + 1
        if byte < 0x80:
            return value, at


@pytest.fixture
def engine(clickhouse_server: str) -> Engine:
    return Engine(clickhouse_server)


def test_a_string_of_any_bytes_is_what_it_was(engine: Engine) -> None:
    for texts in (TEXTS, CHARACTERS, ["".join(BYTES), "".join(CHARACTERS), ""]):
        found = engine.strings(f"SELECT {', '.join(map(string, texts))}")
        assert found == [encoded(text) for text in texts]


def test_a_string_read_back_is_what_was_quoted() -> None:
    for text in (*TEXTS, *CHARACTERS, "".join(BYTES), ""):
        assert unquoted(string(text)) == text


def test_a_literal_is_read_as_the_engine_reads_it(engine: Engine) -> None:
    signs = [chr(number) for number in range(128) if chr(number) != "x"]
    literals = [f"'a\\{sign}b'" for sign in signs] + ["'\\x41\\x0a\\xFfz'", "'it''s'", "'\\'''\\''"]
    found = engine.strings(f"SELECT {', '.join(literals)}")
    assert [unquoted(literal).encode("latin-1") for literal in literals] == found


def test_a_column_of_any_name_is_found_by_it(
    engine: Engine, tenant_factory: Callable[..., Any]
) -> None:
    database = identifier(tenant_factory().warehouse.database)
    names = [f"{number}{byte}" for number, byte in enumerate(BYTES)] + [
        f"u{number}{character}" for number, character in enumerate(CHARACTERS)
    ]
    columns = ", ".join(f"{identifier(name)} String" for name in names)
    engine(f"CREATE TABLE {database}.wide ({columns}) ENGINE = MergeTree ORDER BY tuple()")
    values = ", ".join(string(name) for name in names)
    engine(f"INSERT INTO {database}.wide SELECT {values}")
    selected = ", ".join(identifier(name) for name in names)
    assert engine.strings(f"SELECT {selected} FROM {database}.wide") == list(map(encoded, names))
    sql = "SELECT name FROM system.columns WHERE table = 'wide' AND database = {d:String}"
    stored = engine.strings(f"{sql} ORDER BY position", {"d": database.strip("`")})
    assert stored == [encoded(name) for name in names]


def test_a_table_of_any_name_is_found_by_it(
    engine: Engine, tenant_factory: Callable[..., Any]
) -> None:
    own = tenant_factory().warehouse.database
    database = identifier(own)
    names = ["".join(BYTES[start : start + 16]) + str(start) for start in range(0, 256, 16)]
    for name in names:
        table = f"{database}.{identifier(name)}"
        engine(f"CREATE TABLE {table} (n String) ENGINE = MergeTree ORDER BY tuple()")
        engine(f"INSERT INTO {table} SELECT {string(name)}")
        assert engine.strings(f"SELECT n FROM {table}") == [encoded(name)]
    sql = "SELECT name FROM system.tables WHERE database = {d:String}"
    listed = engine.strings(sql, {"d": own})
    assert sorted(listed) == sorted(map(encoded, names))
    for name in names:
        engine(f"DROP TABLE {database}.{identifier(name)} SYNC")


def test_a_parameter_of_any_characters_is_what_it_was(engine: Engine) -> None:
    for text in ("".join(CHARACTERS), *CHARACTERS[:128]):
        value = tab_separated(text)
        assert engine.strings("SELECT {v:String}", {"v": value}) == [encoded(text)]
        array = {"v": f"['{value}']"}
        assert engine.strings("SELECT {v:Array(String)}[1]", array) == [encoded(text)]


def test_the_embedded_engine_needs_no_django_for_it() -> None:
    code = f"import sys, {quoting.__name__}; assert 'django' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_other_module_escapes_for_sql() -> None:
    own = Path(quoting.__file__)
    escapes = re.compile(r"""replace\(\s*['"]\\\\['"],""")
    found = [
        str(path)
        for folder in ("tenants", "ingestion", "analytics_api", "platform", "bench")
        for path in (own.parents[2] / folder).rglob("*.py")
        if path != own and escapes.search(path.read_text())
    ]
    assert found == []
