"""Users, passwords and profiles as the embedded server keeps them; no engine is asked."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from millrace.embedded.clickhouse.access import carry_out, check_settings
from millrace.embedded.clickhouse.errors import EngineError
from millrace.embedded.clickhouse.users import User, Users
from tenants.warehouse.statements import QueryLimits, add_password, create, drop

LIMITS = QueryLimits(
    seconds=30, memory_bytes=9, read_rows=9, result_rows=9, result_bytes=9, threads=2
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "users.json"


def users(file: Path) -> Users:
    return Users(file, User("admin", "", admin=True))


def run(known: Users, statements: list[str]) -> None:
    for statement in statements:
        if "DATABASE IF" not in statement:
            carry_out(statement, known)


def test_a_user_has_what_its_profile_says_also_after_a_restart(file: Path) -> None:
    run(users(file), create("t_a", "t_a", "secret", LIMITS, quota=False))
    user = users(file).authenticate("t_a", "secret")
    assert user.databases == {"t_a"}
    assert user.value("max_execution_time") == "30"
    for name, value in (("max_execution_time", "0"), ("max_threads", "64"), ("readonly", "0")):
        with pytest.raises(EngineError):
            check_settings(user, {name: value})
    check_settings(user, {"max_execution_time": "30"})


def test_a_profile_that_changes_changes_its_user(file: Path) -> None:
    known = users(file)
    run(known, create("t_a", "t_a", "secret", LIMITS, quota=False))
    carry_out("CREATE SETTINGS PROFILE OR REPLACE `t_a` SETTINGS max_threads = 1", known)
    found = known.find("t_a")
    assert found is not None
    assert found.value("max_threads") == "1"
    assert found.value("max_execution_time") is None


def test_a_password_is_added_and_a_new_one_takes_the_place_of_all(file: Path) -> None:
    known = users(file)
    run(known, create("t_a", "t_a", "old", LIMITS, quota=False))
    run(known, add_password("t_a", "new"))
    for password in ("old", "new"):
        assert users(file).authenticate("t_a", password)
    run(known, create("t_a", "t_a", "new", LIMITS, quota=False))
    assert users(file).authenticate("t_a", "new")
    with pytest.raises(EngineError):
        users(file).authenticate("t_a", "old")
    assert "new" not in file.read_text()


def test_what_is_dropped_is_gone(file: Path) -> None:
    known = users(file)
    run(known, create("t_a", "t_a", "secret", LIMITS, quota=False))
    run(known, drop("t_a", "t_a", quota=False))
    run(known, drop("t_a", "t_a", quota=False))
    assert known.find("t_a") is None
    assert not known.has_profile("t_a")
    with pytest.raises(EngineError, match="no settings profile"):
        carry_out("ALTER USER t_b SETTINGS PROFILE 't_a'", known_with(known))


def known_with(known: Users) -> Users:
    digest = hashlib.sha256(b"x").hexdigest()
    carry_out(f"CREATE USER t_b IDENTIFIED WITH sha256_hash BY '{digest}'", known)
    return known


def test_a_file_of_before_profiles_is_read(file: Path) -> None:
    digest = hashlib.sha256(b"secret").hexdigest()
    setting = {"value": "1", "least": None, "most": None, "fixed": False}
    old = {
        "name": "t_a",
        "digest": digest,
        "database": "t_a",
        "settings": {"readonly": setting},
        "databases": ["t_a"],
        "admin": False,
    }
    file.write_text(json.dumps([old]))
    user = users(file).authenticate("t_a", "secret")
    assert (user.value("readonly"), user.databases) == ("1", {"t_a"})
