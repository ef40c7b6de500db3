"""Statements about users that the embedded server executes itself, and settings of a request."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from millrace.embedded.clickhouse.access import carry_out, check_settings, concerns, settings_of
from millrace.embedded.clickhouse.errors import EngineError
from millrace.embedded.clickhouse.users import Setting, User, Users

DIGEST = hashlib.sha256(b"secret").hexdigest()
SHA = f"IDENTIFIED WITH sha256_hash BY '{DIGEST}'"


@pytest.fixture
def users(tmp_path: Path) -> Users:
    return Users(tmp_path / "users.json", User("millrace", DIGEST, admin=True))


def user(users: Users, name: str) -> User:
    found = users.find(name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE USER a",
        " alter  user a",
        "DROP ROLE r",
        "SHOW CREATE USER a",
        "CREATE ROW POLICY p",
        "CREATE SETTINGS PROFILE p",
        "GRANT SELECT ON *.*",
        "REVOKE ALL",
        "SHOW USERS",
        "SET ROLE r",
        "SET DEFAULT ROLE r",
    ],
)
def test_a_statement_about_users_never_reaches_the_engine(sql: str, users: Users) -> None:
    assert concerns(sql)


@pytest.mark.parametrize(
    "sql",
    ["SELECT 1", "CREATE TABLE user (a Int8)", "SET max_threads = 1", "GRANTED", "SHOW TABLES"],
)
def test_any_other_statement_is_the_engines(sql: str) -> None:
    assert not concerns(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE USER a IDENTIFIED WITH plaintext_password BY 'x'",
        "CREATE USER a",
        f"CREATE USER a {SHA} GRANTEES ANY",
        f"CREATE USER a, b {SHA}",
        "GRANT SELECT ON d.t TO a",
        "GRANT INSERT ON d.* TO a",
        "GRANT SELECT ON *.* TO a",
        "GRANT SELECT ON d.* TO a WITH GRANT OPTION",
        "REVOKE ALL ON d.* FROM a",
        "DROP USER a; DROP USER b",
        "CREATE ROLE r",
    ],
)
def test_a_form_that_it_does_not_know_is_refused_not_guessed(sql: str, users: Users) -> None:
    carry_out(f"CREATE USER b {SHA}", users)
    with pytest.raises(EngineError, match="does not know this statement") as refused:
        carry_out(sql, users)
    assert refused.value.code == 48
    assert [each.name for each in users.all()] == ["b"]


@pytest.mark.parametrize("name", ["a_1", "`a 1`", '"a 1"', "'a 1'"])
def test_a_name_may_be_quoted_in_any_way(name: str, users: Users) -> None:
    carry_out(f"create user {name} {SHA} host any default database `d 1` ;", users)
    (made,) = users.all()
    assert made.name == name.strip("`\"'")
    assert (made.digest, made.database, made.databases) == (DIGEST, "d 1", frozenset())


def test_a_grant_adds_a_database_and_a_revoke_takes_only_that(users: Users) -> None:
    carry_out(f"CREATE USER a {SHA}", users)
    for database in ("d", "`e`", "f"):
        carry_out(f"GRANT SELECT ON {database}.* TO a", users)
    carry_out("REVOKE SELECT ON e . * FROM a", users)
    assert user(users, "a").databases == {"d", "f"}
    with pytest.raises(EngineError) as refused:
        carry_out("GRANT SELECT ON d.* TO nobody", users)
    assert refused.value.code == 192


def test_an_altered_user_keeps_what_the_statement_does_not_name(users: Users) -> None:
    carry_out(f"CREATE USER a {SHA} DEFAULT DATABASE d SETTINGS readonly = 1", users)
    carry_out("GRANT SELECT ON d.* TO a", users)
    carry_out("ALTER USER a DEFAULT DATABASE e", users)
    made = user(users, "a")
    assert (made.database, made.digest, made.databases) == ("e", DIGEST, {"d"})
    assert made.value("readonly") == "1"
    carry_out("ALTER USER a SETTINGS max_threads = 2", users)
    made = user(users, "a")
    assert (made.database, made.value("readonly"), made.value("max_threads")) == ("e", None, "2")


def test_an_added_password_leaves_the_first_and_a_new_one_replaces_all(users: Users) -> None:
    second, third = (hashlib.sha256(word).hexdigest() for word in (b"2", b"3"))
    carry_out(f"CREATE USER a {SHA}", users)
    carry_out(f"ALTER USER a ADD IDENTIFIED WITH sha256_hash BY '{second}'", users)
    assert user(users, "a").accepts("secret")
    assert user(users, "a").accepts("2")
    carry_out(f"ALTER USER a IDENTIFIED WITH sha256_hash BY '{third}'", users)
    assert [user(users, "a").accepts(word) for word in ("secret", "2", "3")] == [False, False, True]


def test_if_exists_and_if_not_exists_forgive_and_or_replace_replaces(users: Users) -> None:
    carry_out("DROP USER IF EXISTS a", users)
    carry_out("ALTER USER IF EXISTS a SETTINGS x = 1", users)
    assert users.all() == []
    carry_out(f"CREATE USER a {SHA} DEFAULT DATABASE d", users)
    carry_out(f"CREATE USER IF NOT EXISTS a {SHA} DEFAULT DATABASE e", users)
    assert user(users, "a").database == "d"
    with pytest.raises(EngineError) as refused:
        carry_out(f"CREATE USER a {SHA}", users)
    assert refused.value.code == 493
    carry_out(f"CREATE USER OR REPLACE a {SHA} DEFAULT DATABASE f", users)
    assert user(users, "a").database == "f"
    assert carry_out("SHOW USERS", users) == "a\n"


def test_the_administrator_cannot_be_replaced_altered_or_dropped(users: Users) -> None:
    for sql, code in (
        (f"CREATE USER OR REPLACE millrace {SHA}", 493),
        ("ALTER USER millrace SETTINGS readonly = 1", 192),
        ("DROP USER millrace", 192),
    ):
        with pytest.raises(EngineError) as refused:
            carry_out(sql, users)
        assert refused.value.code == code
    assert user(users, "millrace").admin


def test_settings_have_values_bounds_and_kinds() -> None:
    text = (
        "a = 1, b 2 READONLY, c = 'x, \\'y\\'' CONST, d = 3 MIN 1 MAX = '9', "
        "e = 0.5 CHANGEABLE_IN_READONLY, f MAX 7, g = -1 WRITABLE"
    )
    assert settings_of(text) == {
        "a": Setting("1"),
        "b": Setting("2", fixed=True),
        "c": Setting("x, 'y'", fixed=True),
        "d": Setting("3", least="1", most="9"),
        "e": Setting("0.5", free=True),
        "f": Setting(most="7"),
        "g": Setting("-1"),
    }
    assert settings_of(None) == {}
    with pytest.raises(EngineError, match="not understood: ' = 2'") as refused:
        settings_of("a = 1, = 2")
    assert refused.value.code == 48


def of(**settings: Setting) -> User:
    return User("a", DIGEST, settings=settings)


READONLY = Setting("1")


@pytest.mark.parametrize(
    ("rules", "asked", "code"),
    [
        ({}, {"max_threads": "2"}, 0),
        ({}, {"readonly": "0"}, 164),
        ({"readonly": READONLY}, {"max_threads": "2"}, 164),
        ({"readonly": READONLY, "x": Setting("1")}, {"x": "2"}, 164),
        ({"readonly": READONLY, "x": Setting("1")}, {"x": "1"}, 0),
        ({"readonly": READONLY, "x": Setting("1", free=True)}, {"x": "2"}, 0),
        ({"readonly": Setting("1", free=True)}, {"readonly": "0"}, 164),
        ({"readonly": Setting("0")}, {"x": "2"}, 0),
        ({"x": Setting("1", fixed=True)}, {"x": "2"}, 452),
        ({"x": Setting("1", fixed=True)}, {"x": "1"}, 0),
        ({"x": Setting("5", least="2", most="9")}, {"x": "2"}, 0),
        ({"x": Setting("5", least="2", most="9")}, {"x": "9"}, 0),
        ({"x": Setting("5", least="2", most="9")}, {"x": "1"}, 452),
        ({"x": Setting("5", least="2", most="9")}, {"x": "10"}, 452),
        ({"x": Setting(most="9")}, {"x": "all"}, 452),
        ({"x": Setting(least="0")}, {"x": "1k"}, 452),
    ],
)
def test_a_request_may_change_only_the_settings_that_the_user_may(
    rules: dict[str, Setting], asked: dict[str, str], code: int
) -> None:
    if not code:
        check_settings(of(**rules), asked)
        return
    with pytest.raises(EngineError) as refused:
        check_settings(of(**rules), asked)
    assert refused.value.code == code
