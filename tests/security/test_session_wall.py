"""Wall two alone: no guard, a user who may do everything, and what every call of ours carries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from analytics_api.query_client import Account, QueryCall, ask
from analytics_api.query_client.query_call import _session
from tenants.provisioning.warehouse import limits
from tenants.warehouse import client
from tenants.warehouse.errors import StatementFailed
from tenants.warehouse.statements import QueryLimits
from tests.security import attacks
from tests.security.tally import Tally

pytestmark = pytest.mark.security


@pytest.fixture
def account(server: str, api_factory: Callable[..., Any]) -> Account:
    """The platform's own, at the database of a tenant whose table has four rows."""
    parts = urlsplit(server)
    database = api_factory("mine").tenant.warehouse.database
    return Account(database, unquote(parts.username or ""), unquote(parts.password or ""))


def _answer(account: Account, sql: str) -> tuple[bool, str]:
    """Whether the engine did it, and what it said."""
    try:
        answer = ask(account, QueryCall(sql, {}, "TSVRaw"))
    except StatementFailed as error:
        return False, str(error)
    return True, b"".join(answer.parts()).decode("utf-8", "replace").strip()


def _lifted(account: Account, setting: str, sql: str) -> str:
    done, said = _answer(account, sql)
    if setting == "-":
        return said or "done" if done else ""
    wanted = str(limits().settings().get(setting, ""))
    before = wanted or _answer(account, f"SELECT getSetting('{setting}')")[1]
    return said if done and set(said.splitlines()) != {before} else ""


def _attack(account: Account, tally: Tally) -> None:
    for attack in attacks.of("session"):
        setting, sql = attack.parts()
        tally.note("session", attack, _lifted(account, setting, sql))


def test_the_session_alone_lets_nothing_be_lifted_or_changed(
    account: Account, tally: Tally
) -> None:
    _attack(account, tally)
    assert not tally.at("session")
    assert client.rows(f"SELECT count() AS c FROM {account.database}.events") == [{"c": 4}]
    assert client.rows(f"EXISTS TABLE {account.database}.made") == [{"result": 0}]
    assert not Path("/tmp/written-by-an-attack").exists()  # noqa: S108


@pytest.fixture
def without_readonly(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    whole = QueryLimits.settings
    monkeypatch.setattr(
        QueryLimits, "settings", lambda self: {**whole(self), "readonly": 0, "max_threads": 9}
    )
    _session.cache_clear()
    yield
    _session.cache_clear()


def test_a_session_that_is_not_readonly_is_seen(account: Account, without_readonly: None) -> None:
    own = Tally()
    for attack in attacks.of("session"):
        setting, sql = attack.parts()
        if setting != "-" or "rows put in" in attack.what or "a table made" in attack.what:
            own.note("session", attack, _lifted(account, setting, sql))
    assert len(own.leaks) > 5


@pytest.mark.parametrize(
    ("setting", "value", "sql"),
    [
        ("MILLRACE_QUERY_SECONDS", 1, "SELECT count() FROM numbers(100000000000) WHERE number % 7"),
        ("MILLRACE_QUERY_RESULT_ROWS", 100, "SELECT number FROM numbers(1000)"),
        ("MILLRACE_QUERY_READ_ROWS", 1000, "SELECT max(number) FROM numbers(100000)"),
        ("MILLRACE_QUERY_READ_BYTES", 1000, "SELECT max(number) FROM numbers(100000)"),
        (
            "MILLRACE_QUERY_MEMORY_BYTES",
            20_000_000,
            "SELECT groupArray(toString(number)) FROM numbers(5000000)",
        ),
        (
            "MILLRACE_QUERY_RESULT_BYTES",
            10_000,
            "SELECT repeat(toString(number), 1000) AS s FROM numbers(100)",
        ),
    ],
)
def test_the_session_alone_holds_every_limit(
    setting: str, value: int, sql: str, account: Account, settings: Any
) -> None:
    setattr(settings, setting, value)
    _session.cache_clear()
    try:
        done, said = _answer(account, sql)
        assert not done
        codes = (158, 159, 160, 241, 307, 396)
        assert any(f"code {code}" in said for code in codes), said
    finally:
        _session.cache_clear()


def test_the_session_alone_holds_the_threads(account: Account, settings: Any) -> None:
    settings.MILLRACE_QUERY_THREADS = 1
    _session.cache_clear()
    try:
        assert _answer(account, "SELECT getSetting('max_threads')") == (True, "1")
    finally:
        _session.cache_clear()
