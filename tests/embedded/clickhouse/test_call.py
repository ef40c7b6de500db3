"""A call as it is read from a request: the statement, its parameters, and an insert's data."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from millrace.embedded.clickhouse import call as module
from millrace.embedded.clickhouse.call import Call
from millrace.embedded.clickhouse.errors import EngineError
from millrace.embedded.clickhouse.insert_buffer import Budget, Spool
from millrace.embedded.clickhouse.parameters import MOST_AT_ONCE, split
from millrace.embedded.clickhouse.request import Request
from millrace.embedded.clickhouse.running_queries import Process
from millrace.embedded.clickhouse.users import Setting, User

FORM = {"content-type": "application/x-www-form-urlencoded"}


class FakeRequest(Request):
    """A request whose body arrives in the given pieces."""

    pieces: tuple[bytes, ...] = ()

    @property
    def has_body(self) -> bool:
        return bool(self.pieces)

    def body(self) -> Iterator[bytes]:
        return iter(self.pieces)


def read(
    *pieces: bytes, headers: dict[str, str] | None = None, user: User | None = None, **query: str
) -> tuple[Call, Spool]:
    nothing: Any = None
    request = FakeRequest("POST", "/", query, headers or {}, "HTTP/1.1", nothing)
    request.pieces = pieces
    user = user or User("a", hashlib.sha256(b"x").hexdigest())
    call = Call(request, nothing, user, split(query), Process("q", "a", 1))
    spool = Spool(Budget())
    call.read(spool)
    return call, spool


@pytest.mark.parametrize(
    ("query", "pieces", "sql"),
    [
        ("SELECT 1", (), "SELECT 1"),
        ("", (b"SELECT 1",), "SELECT 1"),
        ("", (b"SEL", b"ECT", b" 1"), "SELECT 1"),
        ("SELECT", (b"1", b"+1"), "SELECT\n1+1"),
        ("", (), ""),
        ("SELECT '\udcff'", (b"\xff",), "SELECT '\udcff'\n\udcff"),
    ],
)
def test_the_statement_is_in_the_address_or_the_body_or_both(
    query: str, pieces: tuple[bytes, ...], sql: str
) -> None:
    call, spool = read(*pieces, query=query)
    assert call.sql == sql
    assert call.insertion is None
    assert spool.whole == b""


@pytest.mark.parametrize(
    ("query", "pieces"),
    [
        ("INSERT INTO t FORMAT CSV", (b"1\n", b"2\n")),
        ("", (b"INSERT INTO t FORMAT CSV\n1\n", b"2\n")),
        ("", (b"INSERT INTO", b" t FORMAT CSV\n1\n2\n")),
        ("INSERT INTO t FORMAT CSV\n1\n", (b"2\n",)),
    ],
)
def test_the_data_of_an_insert_is_apart_from_its_statement(
    query: str, pieces: tuple[bytes, ...]
) -> None:
    call, spool = read(*pieces, query=query)
    assert call.insertion is not None
    assert (call.insertion.head, call.insertion.form) == ("INSERT INTO t", "CSV")
    assert spool.whole == b"1\n2\n"


def test_of_a_long_insert_only_the_beginning_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_INSERT_HEAD", 30)
    call, spool = read(b"INSERT INTO t FORMAT CSV\n1\n2\n3\n", b"4\n", b"5\n")
    assert call.text == b"INSERT INTO t FORMAT CSV\n1\n2\n3\n"
    assert spool.whole == b"1\n2\n3\n4\n5\n"


def test_an_insert_of_a_query_is_a_statement_with_all_of_the_body() -> None:
    call, spool = read(b"INSERT INTO t ", b"SELECT 1")
    assert call.insertion is None
    assert call.sql == "INSERT INTO t SELECT 1"
    assert spool.whole == b""


def test_a_format_may_come_from_the_request_and_the_address_precedes_the_header() -> None:
    header = {"x-clickhouse-format": "TSV"}
    call, _ = read(b"1\n", query="INSERT INTO t", headers=header)
    assert call.insertion is not None
    assert call.insertion.form == "TSV"
    call, _ = read(b"1\n", query="INSERT INTO t", default_format="CSV", headers=header)
    assert call.insertion is not None
    assert call.insertion.form == "CSV"


def test_a_body_is_decoded_and_an_unknown_coding_refused() -> None:
    call, _ = read(gzip.compress(b"SELECT 1"), headers={"content-encoding": "gzip"})
    assert call.sql == "SELECT 1"
    with pytest.raises(EngineError) as refused:
        read(b"x", headers={"content-encoding": "snappy"})
    assert refused.value.code == 48
    for name in ("compress", "decompress"):
        with pytest.raises(EngineError, match="compress and decompress") as refused:
            read(b"x", **{name: "1"})
        assert refused.value.code == 48


def test_a_query_may_be_a_form_and_parameters_of_both_count() -> None:
    call, _ = read(b"query=SELECT+1&param_b=", b"2", headers=FORM, param_a="1", param_b="1")
    assert call.sql == "SELECT 1"
    assert call.parameters.bound == {"a": "1", "b": "2"}


def test_a_body_that_is_only_labelled_a_form_is_the_statement() -> None:
    call, _ = read(b"SELECT 1 AS query=1", headers=FORM)
    assert call.sql == "SELECT 1 AS query=1"
    call, _ = read(b"query=1", headers={"content-type": "text/plain"})
    assert call.sql == "query=1"


def test_a_multipart_form_has_the_rest_of_the_query_and_files() -> None:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="query"\r\n\r\n 1\r\n'
        b'--x\r\nContent-Disposition: form-data; name="ids"; filename="ids.csv"\r\n\r\n5\r\n--x--'
    )
    call, _ = read(
        body[:40],
        body[40:],
        headers={"content-type": "multipart/form-data; boundary=x"},
        query="SELECT",
        ids_types="UInt8",
    )
    assert call.sql == "SELECT 1"
    assert call.files == {"ids": b"5"}
    assert call.parameters.transport["ids_types"] == "UInt8"
    assert call.parameters.settings == {}


@pytest.mark.parametrize(("size", "is_refused"), [(10, False), (11, True)])
def test_a_query_has_a_largest_size_and_an_inserts_data_none(
    size: int, is_refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_QUERY", 10)
    if is_refused:
        with pytest.raises(EngineError) as refused:
            read(bytes(size), query="SELECT")
        assert (refused.value.code, refused.value.status) == (229, 413)
    else:
        read(bytes(size), query="SELECT")
    assert read(bytes(size), query="INSERT INTO t FORMAT CSV")[1].whole == bytes(size)


@pytest.mark.parametrize(
    ("own", "asked", "most"),
    [(None, None, 0), ("3", None, 3), ("3", "2", 2), (None, "2", 2), ("many", None, 0)],
)
def test_how_many_statements_run_at_once_is_the_users_or_less(
    own: str | None, asked: str | None, most: int
) -> None:
    user = User("a", "", settings={MOST_AT_ONCE: Setting(own)})
    call, _ = read(query="SELECT 1", user=user, **({MOST_AT_ONCE: asked} if asked else {}))
    assert call.most_at_once == most


def test_a_call_knows_its_session_and_whether_its_effect_lasts() -> None:
    call, _ = read(query="SET a = 1", session_id="s")
    assert (call.session, call.lasting) == ("s", True)
    call, _ = read(query="/* SET */ SELECT 1")
    assert (call.session, call.lasting) == ("", False)
