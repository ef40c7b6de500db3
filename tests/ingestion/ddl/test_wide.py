"""Tables of many columns: they can be made, and messages land in them by both ways."""

from __future__ import annotations

import re
from typing import Any

import pytest
from test_suspects import _table

from ingestion.ddl import STATEMENT_SETTINGS, ColumnSpec, TableSpec, create
from ingestion.ddl.rows import quick_rows, typed_rows
from ingestion.ddl.spec import INSERT_SETTINGS
from ingestion.landing import direct_insert
from tenants.warehouse import client

#: Types, each with a value in JSON and how ClickHouse writes it.
KINDS = (
    ("UInt32", "7", "7"),
    ("String", '"a"', "a"),
    ("Decimal(18, 4)", "1.25", "1.25"),
    ("Date", '"2026-01-02"', "2026-01-02"),
    ("DateTime64(3)", '"2026-01-01T00:00:00.5Z"', "2026-01-01 00:00:00.500"),
    ("Nullable(Int64)", "5", "5"),
    ("Map(String, Nullable(Float64))", '{"a": null}', "{'a':NULL}"),
    ("Array(String)", '["a"]', "['a']"),
)
#: With so many columns each statement is beyond what ClickHouse takes by default: 256 KiB, and
#: 50,000 elements. More of them meet no other limit, since no statement gets any deeper.
WIDE = 500
#: As many do it where each is asked in detail.
WIDE_IN_DETAIL = 130
#: A constant compared within an AND or OR, which has the analyzer hash all that is below.
COMPARED = re.compile(
    r"(?:(?:AND|OR) \(?\w+\([^()]*\)|OR [\w.]+) !?= (?:'|[0-9])|[^<>]= [0-9]+ (?:AND|OR) "
)


def _columns(count: int) -> tuple[ColumnSpec, ...]:
    kinds = (KINDS[place % len(KINDS)][0] for place in range(count))
    return tuple(
        ColumnSpec(f"c{place}", kind, required=not kind.startswith("Nullable"))
        for place, kind in enumerate(kinds)
    )


def _message(count: int, **values: str) -> bytes:
    members = {f"c{place}": KINDS[place % len(KINDS)][1] for place in range(count)} | values
    return ("{" + ", ".join(f'"{name}": {value}' for name, value in members.items()) + "}").encode()


@pytest.mark.slow
def test_a_wide_table_takes_what_fits_and_says_what_does_not(inbox: Any) -> None:
    count, columns = WIDE, _columns(WIDE)
    inbox.make(TableSpec(inbox.database, "t", columns))
    last = max(place for place in range(count) if columns[place].type == "UInt32")
    inbox.insert("t", [_message(count), _message(count, **{f"c{last}": '"x"'})])
    values = ", ".join(f"toString({one.name})" for one in columns)
    (row,) = inbox.rows(f"SELECT {values} FROM {inbox.database}.t")
    assert list(row) == [KINDS[place % len(KINDS)][2] for place in range(count)]
    found = inbox.rows(f"SELECT reason, `column` FROM {inbox.database}.t__quarantine")
    assert found == [("wrong_type", f"c{last}")]


def test_more_columns_make_no_statement_deeper(engine: Any) -> None:
    """ClickHouse bounds the depth of a statement, and its parser and analyzer call themselves."""
    few, many = 16, 200

    def depths(count: int) -> list[int]:
        columns = _columns(count)
        statements = (
            *create(TableSpec("d", "t", columns)),
            quick_rows(columns, "m"),
            typed_rows(columns, "m", frozenset(range(few))),
        )
        # Even what opens and closes within the parser alone is not as deep as the columns are many.
        options = STATEMENT_SETTINGS | {"max_parser_depth": many}
        lines = (engine.query(f"EXPLAIN AST {one}", settings=options) for one in statements)
        return [
            max(len(line) - len(line.lstrip()) for (line,) in found.result_rows) for found in lines
        ]

    assert depths(many) == depths(few)


def test_no_statement_compares_a_constant_within_a_chain() -> None:
    columns = (*_columns(16), ColumnSpec("u", "DateTime('Europe/Vienna')", path="p.u"))
    for sql in (
        quick_rows(columns, "m"),
        typed_rows(columns, "m", frozenset(range(len(columns)))),
    ):
        assert COMPARED.search(sql) is None


def test_every_statement_that_types_is_spared_the_passes_that_hash_chains() -> None:
    for settings in (INSERT_SETTINGS, direct_insert._OPTIONS):
        assert STATEMENT_SETTINGS.items() <= settings.items()


@pytest.mark.slow
def test_a_statement_of_many_columns_is_not_in_the_address(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server takes 128 KiB of a field, in an address as in a form, and a proxy often 8 KiB."""
    columns = _columns(WIDE_IN_DETAIL)
    everything = frozenset(range(len(columns)))
    sent: list[tuple[str, dict[str, Any]]] = []
    http = client.admin().http
    request = http.request

    def noted(method: str, url: str, **kwargs: Any) -> Any:
        sent.append((url, kwargs["fields"]))
        return request(method, url, **kwargs)

    monkeypatch.setattr(http, "request", noted)
    direct_insert.suspects(columns).clear()
    direct_insert.suspects(columns).update(everything)
    messages = _table([_message(len(columns)), _message(len(columns), c0='"x"')])
    (rows,) = direct_insert.type_all(messages, columns).values()
    assert (len(rows.good), len(rows.misfits)) == (1, 1)
    statements = (
        quick_rows(columns, "_messages"),
        typed_rows(columns, "_messages", everything),
    )
    for (address, fields), statement in zip(sent, statements, strict=True):
        assert len(address) < 8 * 1024
        parts = [value for name, value in fields.items() if str(name) == "query"]
        assert max(map(len, parts)) <= 64 * 1024
        assert len(parts) > 1
        assert f"SELECT{b''.join(parts).decode()}" == f"{statement}\n FORMAT ArrowStream"
    assert len(statements[1]) > 256 * 1024
