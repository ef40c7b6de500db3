"""Sessions: one query at a time, settings of a request undone after it, and an end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from millrace.embedded.clickhouse import sessions as module
from millrace.embedded.clickhouse.errors import EngineError, refuse
from millrace.embedded.clickhouse.pool import Profile
from millrace.embedded.clickhouse.sessions import Session, Sessions

ADMIN = Profile("admin", "home")
KEY = ("millrace", "s1")


class FakeConnection:
    """Notes statements; refuses those that start with ``refused``."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.refused = "\0"
        self.changed: dict[str, str] = {}
        self.database = "home"
        self.closed = False

    def run(self, sql: str, form: str = "TSV", parameters: Any = None) -> Any:
        if sql.startswith(self.refused):
            raise refuse(36, "refused")
        if "system.settings" in sql:
            rows = (f"{n}\t{v}" for n, v in self.changed.items() if f"'{n}'" in parameters["names"])
            return SimpleNamespace(data="\n".join(rows).encode())
        self.statements.append(sql)
        return SimpleNamespace(data=b"")

    def text(self, sql: str) -> str:
        return self.database

    def close(self) -> None:
        self.closed = True


class FakeEngine:
    def __init__(self) -> None:
        self.opened: list[FakeConnection] = []
        self.refused = "\0"

    def connect(self) -> FakeConnection:
        connection = FakeConnection()
        connection.refused = self.refused
        self.opened.append(connection)
        return connection


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    return FakeEngine()


@pytest.fixture
def sessions(engine: Any) -> Sessions:
    return Sessions(engine)


def use(sessions: Sessions, key: tuple[str, str] = KEY, **options: Any) -> Any:
    chosen: dict[str, Any] = {"profile": ADMIN, "timeout": 60, "now": 0.0, "check": False} | options
    return sessions.use(
        key, chosen.pop("profile"), chosen.pop("timeout"), chosen.pop("now"), **chosen
    )


def code(sessions: Sessions, key: tuple[str, str] = KEY, **options: Any) -> int:
    with pytest.raises(EngineError) as refused, use(sessions, key, **options):
        raise AssertionError
    return refused.value.code


def test_a_session_keeps_its_connection_and_another_user_or_id_has_its_own(
    sessions: Sessions, engine: FakeEngine
) -> None:
    with use(sessions) as first:
        pass
    with use(sessions) as again, use(sessions, ("other", "s1")) as other:
        assert again is first
        assert other.connection is not first.connection
    assert len(engine.opened) == 2


def test_a_session_that_is_busy_is_refused_and_free_afterwards(sessions: Sessions) -> None:
    with use(sessions):
        assert code(sessions) == 373
    with use(sessions, check=True):
        pass


def test_a_reader_has_nothing_to_keep_so_its_session_is_only_a_lock(
    sessions: Sessions, engine: FakeEngine
) -> None:
    with use(sessions, profile=Profile("user_a", "d", readonly=1)) as session:
        assert session.connection is None
        assert code(sessions) == 373
    assert engine.opened == []


def test_a_session_that_must_exist_and_does_not_is_not_found(sessions: Sessions) -> None:
    assert code(sessions, check=True) == 372
    assert code(sessions, check=True) == 372


@pytest.mark.parametrize("timeout", [0, -1, 3601])
def test_a_timeout_has_bounds(sessions: Sessions, timeout: int) -> None:
    assert code(sessions, timeout=timeout) == 374
    with use(sessions, timeout=3600), use(sessions, ("a", "b"), timeout=1):
        pass


def test_there_is_a_limit_on_sessions_but_not_on_using_one(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 1)
    with use(sessions):
        assert code(sessions, ("millrace", "s2")) == 202
    with use(sessions):
        pass


def test_a_session_ends_when_its_time_is_over_but_not_during_a_query(
    sessions: Sessions, engine: FakeEngine
) -> None:
    with use(sessions, now=100.0, timeout=5):
        sessions.expire(1e9)
        assert not engine.opened[0].closed
    sessions.expire(105.0)
    assert not engine.opened[0].closed
    with use(sessions, now=104.0, timeout=5):
        pass
    sessions.expire(106.0)
    assert not engine.opened[0].closed
    sessions.expire(109.1)
    assert engine.opened[0].closed
    assert code(sessions, check=True) == 372


def test_closing_leaves_those_that_are_busy(sessions: Sessions, engine: FakeEngine) -> None:
    with use(sessions, ("a", "idle")):
        pass
    with use(sessions, ("a", "busy")):
        sessions.close()
        assert [connection.closed for connection in engine.opened] == [True, False]


def test_a_session_whose_connection_cannot_be_opened_is_none(
    sessions: Sessions, engine: FakeEngine
) -> None:
    engine.refused = "SET ROLE"
    assert code(sessions) == 36
    assert engine.opened[0].closed
    engine.refused = "\0"
    assert code(sessions, check=True) == 372
    with use(sessions):
        pass


def test_a_broken_session_is_dropped_with_its_connection(
    sessions: Sessions, engine: FakeEngine
) -> None:
    with use(sessions) as session:
        session.broken = True
    assert engine.opened[0].closed
    with use(sessions) as fresh:
        assert fresh is not session


# --- Settings of one request ------------------------------------------------------------------


@pytest.fixture
def connection() -> FakeConnection:
    return FakeConnection()


@pytest.fixture
def session(connection: Any) -> Session:
    return Session("home", connection, now="home")


def prepared(
    session: Session, database: str = "", *, lasting: bool = False, **settings: str
) -> Any:
    assert session.connection is not None
    return session.prepared(session.connection, database, settings, lasting=lasting)


def test_a_requests_settings_are_undone_to_what_the_session_has(
    session: Session, connection: FakeConnection
) -> None:
    connection.changed = {"a": "it's 5"}
    with prepared(session, a="1", b="2"):
        assert connection.statements == ["SET a = '1', b = '2'"]
    assert connection.statements[1:] == ["SET a = 'it\\'s 5', b = DEFAULT"]
    assert not session.broken
    # The session's own values are asked for once, not while the next request's are set.
    connection.changed = {"a": "1"}
    with prepared(session, a="3"):
        pass
    assert connection.statements[-1] == "SET a = 'it\\'s 5'"


def test_a_set_changes_the_session_and_what_was_known_of_it_is_forgotten(
    session: Session, connection: FakeConnection
) -> None:
    with prepared(session, a="1"):
        pass
    connection.statements.clear()
    with prepared(session, lasting=True, a="7"):
        connection.changed = {"a": "9"}
    assert connection.statements == []
    with prepared(session, a="1"):
        pass
    assert connection.statements[-1] == "SET a = '9'"


def test_a_database_of_a_request_is_left_again_and_a_use_stays(
    session: Session, connection: FakeConnection
) -> None:
    with prepared(session, "d"):
        pass
    with prepared(session, "d"):
        pass
    with prepared(session):
        pass
    assert connection.statements == ["USE `d`", "USE `home`"]
    with prepared(session, lasting=True):
        connection.database = "e"
    with prepared(session):
        pass
    assert connection.statements == ["USE `d`", "USE `home`"]
    assert session.home == "e"


@pytest.mark.parametrize(
    ("refused", "breaks"),
    [("USE", "before"), ("SET a = '1'", "before"), ("SET a = DEFAULT", "after")],
)
def test_a_session_that_could_not_be_set_or_restored_is_broken(
    session: Session, connection: FakeConnection, refused: str, breaks: str
) -> None:
    connection.refused = refused
    if breaks == "before":
        with pytest.raises(EngineError), prepared(session, "d", a="1"):
            raise AssertionError
    else:
        with prepared(session, a="1"):
            assert not session.broken
    assert session.broken


def test_settings_are_undone_after_a_statement_that_failed_too(
    session: Session, connection: FakeConnection
) -> None:
    with pytest.raises(EngineError), prepared(session, a="1"):
        raise refuse(36, "the statement")
    assert connection.statements == ["SET a = '1'", "SET a = DEFAULT"]
    assert not session.broken
