"""Who sends a request, and the role, database and settings that the engine gets for it."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from millrace.embedded.clickhouse.errors import EngineError
from millrace.embedded.clickhouse.identity import Identities
from millrace.embedded.clickhouse.parameters import MOST_AT_ONCE, split
from millrace.embedded.clickhouse.pool import Profile
from millrace.embedded.clickhouse.request import Request
from millrace.embedded.clickhouse.users import Setting, User, Users


def digest(password: str) -> str:
    return hashlib.sha256(password.encode("utf-8", "surrogateescape")).hexdigest()


ADMIN = User("millrace", digest("admin"), admin=True)


def users_with(folder: Path, *added: User) -> Users:
    users = Users(folder / "users.json", ADMIN)
    for user in added:
        users.create(user, if_not_exists=False, or_replace=False)
    return users


def request(**headers: str) -> Request:
    reader: Any = None
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("POST", "/", {}, named, "HTTP/1.1", reader)


def basic(text: str) -> str:
    return "Basic " + b64encode(text.encode("utf-8", "surrogateescape")).decode()


# --- Who it is --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "parameters"),
    [
        ({"x_clickhouse_user": "a", "x_clickhouse_key": "pass:word"}, {}),
        ({"authorization": basic("a:pass:word")}, {}),
        ({"authorization": basic("a:pass:word").replace("Basic", "bASIC")}, {}),
        ({}, {"user": "a", "password": "pass:word"}),
        # The first that is there counts, as with a server.
        ({"x_clickhouse_user": "a", "x_clickhouse_key": "pass:word", "authorization": "x"}, {}),
        ({"authorization": basic("a:pass:word")}, {"user": "b", "password": "x"}),
    ],
)
def test_credentials_may_come_in_three_ways(
    headers: dict[str, str], parameters: dict[str, str], tmp_path: Path
) -> None:
    identities = Identities(users_with(tmp_path, User("a", digest("pass:word"))))
    assert identities.authenticate(request(**headers), split(parameters)).name == "a"


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"authorization": basic("a:wrong")}, "password is incorrect"),
        ({"authorization": "Basic !"}, "can't be decoded"),
        ({"authorization": "Basic \N{LATIN SMALL LETTER U WITH DIAERESIS}"}, "can't be decoded"),
        ({"authorization": "Bearer x"}, "only the scheme Basic"),
        ({"x_clickhouse_user": "a"}, "password is incorrect"),
        ({}, "default: Authentication failed"),
    ],
)
def test_credentials_that_are_wrong_or_none_are_refused(
    headers: dict[str, str], says: str, tmp_path: Path
) -> None:
    identities = Identities(users_with(tmp_path, User("a", digest("secret"))))
    with pytest.raises(EngineError, match=says) as refused:
        identities.authenticate(request(**headers), split({}))
    assert refused.value.code == 516


def test_a_password_may_have_any_bytes(tmp_path: Path) -> None:
    identities = Identities(users_with(tmp_path, User("a", digest("\udcff"))))
    found = identities.authenticate(request(authorization=basic("a:\udcff")), split({}))
    assert found.name == "a"


# --- What it may ------------------------------------------------------------------------------


def reader(**fields: Any) -> User:
    return User("a", digest("x"), **{"database": "d", "databases": frozenset({"d"})} | fields)


def test_a_user_of_the_start_has_a_role_of_its_own_and_a_later_one_only_the_wall(
    tmp_path: Path,
) -> None:
    users = users_with(tmp_path, reader())
    identities = Identities(users)
    later = User("b", digest("x"), databases=frozenset({"e"}))
    assert identities.grants() == {"a": frozenset({"d"})}
    assert identities.profile(reader(), split({}), 0).role == "user_a"
    assert identities.rules(reader()).catalogue
    assert identities.profile(later, split({}), 0).role == "millrace_reader"
    assert not identities.rules(later).catalogue
    assert identities.rules(later).databases == {"e"}


@pytest.mark.parametrize("databases", [{"e"}, {"d", "e"}])
def test_a_role_that_names_other_databases_than_the_user_has_is_not_used(
    databases: set[str], tmp_path: Path
) -> None:
    identities = Identities(users_with(tmp_path, reader()))
    changed = reader(databases=frozenset(databases))
    assert identities.profile(changed, split({"database": "e"}), 0).role == "millrace_reader"
    assert not identities.rules(changed).catalogue


def test_a_user_without_databases_has_the_role_of_nobody(tmp_path: Path) -> None:
    identities = Identities(users_with(tmp_path, reader(databases=frozenset())))
    bare = reader(databases=frozenset(), database="")
    assert identities.profile(bare, split({}), 0) == Profile("millrace_nobody", "default", (), 1)
    assert identities.grants() == {}


@pytest.mark.parametrize(("name", "database"), [("a-b", "d"), ("a", "d>"), ("1a", "d"), ("a", "")])
def test_a_name_that_xml_would_have_to_quote_gets_no_role(
    name: str, database: str, tmp_path: Path
) -> None:
    user = User(name, digest("x"), databases=frozenset({database}))
    identities = Identities(users_with(tmp_path, user))
    assert identities.grants() == {}
    assert not identities.rules(user).catalogue


def test_a_user_always_only_reads_and_the_administrator_as_the_request_says(
    tmp_path: Path,
) -> None:
    identities = Identities(users_with(tmp_path, reader()))
    for method in (0, 2):
        assert identities.profile(reader(), split({}), method).readonly == 1
        assert identities.profile(ADMIN, split({}), method).readonly == method
    for value, expected in (("1", 1), ("2", 2), ("0", 2), ("x", 2)):
        found = identities.profile(ADMIN, split({"readonly": value}), 2)
        assert (found.readonly, found.settings) == (expected, ())


def test_settings_of_the_request_precede_the_users_and_some_are_not_the_engines(
    tmp_path: Path,
) -> None:
    own = {
        "max_threads": Setting("2"),
        "max_rows_to_read": Setting("9"),
        "max_result_rows": Setting(most="9"),
        "readonly": Setting("2", free=True),
        MOST_AT_ONCE: Setting("3"),
    }
    identities = Identities(users_with(tmp_path))
    found = identities.profile(reader(settings=own), split({"max_threads": "1"}), 0)
    assert found.settings == (("max_rows_to_read", "9"), ("max_threads", "1"))


def test_settings_that_only_this_server_uses_are_bounded_as_well(tmp_path: Path) -> None:
    identities = Identities(users_with(tmp_path))
    bounded = reader(settings={MOST_AT_ONCE: Setting("3", most="3")})
    identities.profile(bounded, split({MOST_AT_ONCE: "2"}), 0)
    with pytest.raises(EngineError) as refused:
        identities.profile(bounded, split({MOST_AT_ONCE: "4"}), 0)
    assert refused.value.code == 452


def test_the_database_is_the_requests_or_the_users_or_the_default(tmp_path: Path) -> None:
    identities = Identities(users_with(tmp_path))
    both = reader(databases=frozenset({"d", "e"}))
    assert identities.profile(both, split({}), 0).database == "d"
    assert identities.profile(both, split({"database": "e"}), 0).database == "e"
    assert identities.profile(both, split({"database": "default"}), 0).database == "default"
    assert identities.profile(reader(database=""), split({}), 0).database == "default"
    with pytest.raises(EngineError, match="use the database f") as refused:
        identities.profile(both, split({"database": "f"}), 0)
    assert refused.value.code == 497
    assert identities.profile(ADMIN, split({"database": "f"}), 0).database == "f"
