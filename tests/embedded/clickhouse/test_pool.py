"""Connections that are used again: for exactly the same settings, and never after a mishap."""

from __future__ import annotations

from typing import Any

import pytest

from millrace.embedded.clickhouse.errors import EngineError, refuse
from millrace.embedded.clickhouse.pool import (
    Pool,
    Profile,
    assignments,
    open_with,
    split_profile,
    without_result_limits,
)


class FakeConnection:
    def __init__(self, refused: str) -> None:
        self.statements: list[str] = []
        self.refused = refused
        self.closed = False

    def run(self, sql: str) -> None:
        if sql.startswith(self.refused):
            raise refuse(36, "refused")
        self.statements.append(sql)

    def close(self) -> None:
        self.closed = True


class FakeEngine:
    def __init__(self) -> None:
        self.opened: list[FakeConnection] = []
        self.refused = "\0"

    def connect(self) -> FakeConnection:
        self.opened.append(FakeConnection(self.refused))
        return self.opened[-1]


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


def pool_of(engine: Any, idle: int = 10) -> Pool:
    return Pool(engine, idle)


READER = Profile("user_a", "d", (("max_threads", "2"),), 1)


def test_a_connection_gives_up_its_rights_only_once_all_is_set(engine: Any) -> None:
    open_with(engine, READER)
    assert engine.opened[0].statements == [
        "USE `d`",
        "SET max_threads = '2'",
        "SET ROLE user_a",
        "SET readonly = 1",
    ]
    open_with(engine, Profile("admin", ""))
    assert engine.opened[1].statements == ["SET ROLE admin"]


@pytest.mark.parametrize("refused", ["USE", "SET max", "SET ROLE", "SET readonly"])
def test_a_connection_that_could_not_be_set_is_closed(engine: Any, refused: str) -> None:
    engine.refused = refused
    with pytest.raises(EngineError):
        open_with(engine, READER)
    assert engine.opened[0].closed


def test_a_setting_is_quoted_and_a_name_that_can_be_none_is_refused() -> None:
    assert assignments({"a": "it's", "b.c": "1"}) == "SET a = 'it\\'s', b.c = '1'"
    for name in ("a b", "a=1, b", "", "1a", "a\n"):
        with pytest.raises(EngineError) as refused:
            assignments({name: "1"})
        assert refused.value.code == 115


def test_a_connection_serves_the_same_profile_again_and_no_other(engine: FakeEngine) -> None:
    pool = pool_of(engine)
    with pool.connection(READER) as first, pool.connection(READER) as second:
        assert second.connection is not first.connection
    with pool.connection(Profile("user_a", "d", (("max_threads", "3"),), 1)):
        pass
    assert len(engine.opened) == 3
    with pool.connection(READER):
        pass
    assert len(engine.opened) == 3
    assert not any(connection.closed for connection in engine.opened)


def test_a_statement_that_failed_does_not_cost_the_connection(engine: FakeEngine) -> None:
    pool = pool_of(engine)
    with pytest.raises(EngineError), pool.connection(READER):
        raise refuse(36, "the statement")
    with pool.connection(READER):
        pass
    assert len(engine.opened) == 1


def test_a_connection_in_an_unknown_state_is_closed(engine: FakeEngine) -> None:
    pool = pool_of(engine)
    with pytest.raises(ConnectionResetError), pool.connection(READER):
        raise ConnectionResetError
    assert engine.opened[0].closed
    with pool.connection(READER) as borrowed:
        borrowed.spent = True
    assert engine.opened[1].closed
    with pool.connection(READER):
        pass
    assert len(engine.opened) == 3


def test_the_least_recently_used_is_closed_first(engine: FakeEngine) -> None:
    pool = pool_of(engine, idle=2)
    profiles = [Profile("admin", name) for name in "abc"]
    for profile in (profiles[0], profiles[1], profiles[0], profiles[2]):
        with pool.connection(profile):
            pass
    assert [connection.closed for connection in engine.opened] == [False, True, False]
    with pool.connection(profiles[0]), pool.connection(profiles[2]):
        pass
    assert len(engine.opened) == 3


def test_idle_connections_of_a_role_or_of_all_are_closed(engine: FakeEngine) -> None:
    pool = pool_of(engine, idle=2)
    for role in ("a", "b"):
        with pool.connection(Profile(role, "d")):
            pass
    pool.forget("a")
    assert [connection.closed for connection in engine.opened] == [True, False]
    # Those that were forgotten no longer count as idle.
    with pool.connection(Profile("c", "d")):
        pass
    assert [connection.closed for connection in engine.opened] == [True, False, False]
    pool.forget()
    assert all(connection.closed for connection in engine.opened)


# --- Settings that differ in each request -----------------------------------------------------

TOKEN = ("insert_deduplication_token", "t1")


def test_a_token_does_not_cost_a_connection_of_its_own_nor_stay_on_it(engine: FakeEngine) -> None:
    pool = pool_of(engine)
    profile = Profile("admin", "d", (("max_threads", "2"),))
    for settings in ((TOKEN,), (TOKEN,), (("log_comment", "c"),), ()):
        with pool.connection(Profile("admin", "d", (*profile.settings, *settings))):
            pass
    assert len(engine.opened) == 1
    assert engine.opened[0].statements[3:] == [
        "SET insert_deduplication_token = 't1'",
        "SET insert_deduplication_token = '', log_comment = 'c'",
        "SET log_comment = ''",
    ]


def test_a_connection_on_which_a_token_could_not_be_set_is_closed(engine: FakeEngine) -> None:
    pool = pool_of(engine)
    engine.refused = "SET insert_deduplication_token"
    with pytest.raises(EngineError), pool.connection(Profile("admin", "d", (TOKEN,))):
        raise AssertionError
    assert engine.opened[0].closed


def test_only_what_may_be_set_later_is_taken_out_of_a_profile() -> None:
    comment = ("log_comment", "c")
    mixed = Profile("admin", "d", (("a", "1"), TOKEN, ("b", "2"), comment))
    plain = Profile("admin", "d", (("a", "1"), ("b", "2")))
    assert split_profile(mixed) == (plain, (TOKEN, comment))
    assert split_profile(plain) == (plain, ())
    # On a connection that only reads nothing can be set any more.
    reader = Profile("user_a", "d", (TOKEN,), 1)
    assert split_profile(reader) == (reader, ())


def test_a_profile_without_limits_on_the_result_keeps_all_others() -> None:
    limits = (("max_result_rows", "1"), ("max_result_bytes", "2"), ("max_rows_to_read", "3"))
    reader = Profile("user_a", "d", limits, 1)
    assert without_result_limits(reader) == Profile("user_a", "d", limits[2:], 1)
