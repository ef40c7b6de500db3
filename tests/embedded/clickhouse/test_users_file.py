"""Users in their file: found with their profile, stored whole, and closed to others."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from millrace.embedded.clickhouse.errors import EngineError
from millrace.embedded.clickhouse.users import Setting, User, Users

ADMIN = User("millrace", hashlib.sha256(b"admin").hexdigest(), admin=True)


def made(name: str, password: str = "secret", **fields: object) -> User:
    digest = hashlib.sha256(password.encode()).hexdigest()
    return replace(User(name, digest), **fields)  # type: ignore[arg-type]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "users.json"


@pytest.fixture
def users(file: Path) -> Users:
    return Users(file, ADMIN)


def create(users: Users, *added: User) -> None:
    for user in added:
        users.create(user, if_not_exists=False, or_replace=False)


def test_all_that_a_user_has_is_read_again(users: Users, file: Path) -> None:
    full = made(
        "a",
        database="d",
        settings={"x": Setting("1", "0", "9", fixed=True), "y": Setting(free=True)},
        databases=frozenset({"d", "e"}),
        also=frozenset({"f" * 64}),
        profile="p",
    )
    create(users, full, made("b"))
    users.set_profile("p", {"z": Setting("2")}, if_not_exists=False, or_replace=False)
    again = Users(file, ADMIN)
    assert again.all() == [full, made("b")]
    assert again.has_profile("p")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {entry["name"] for entry in json.loads(file.read_text())} == {"a", "b", "p"}
    assert not any("millrace" in path.read_text() for path in file.parent.iterdir())


def test_a_users_own_setting_precedes_its_profiles(users: Users) -> None:
    profile = {"x": Setting("1"), "y": Setting("1")}
    users.set_profile("p", profile, if_not_exists=False, or_replace=False)
    create(users, made("a", profile="p", settings={"x": Setting("2")}))
    found = users.find("a")
    assert found is not None
    assert (found.value("x"), found.value("y"), found.value("z")) == ("2", "1", None)
    # What the profile gives is not the user's own, so it is not stored with the user.
    users.alter("a", lambda user: replace(user, database="d"))
    assert users.all()[0].settings == {"x": Setting("2")}


@pytest.mark.parametrize(("name", "password"), [("a", "wrong"), ("a", ""), ("b", "secret")])
def test_a_wrong_password_and_an_unknown_name_are_refused_alike(
    users: Users, name: str, password: str
) -> None:
    create(users, made("a"))
    assert users.authenticate("a", "secret").name == "a"
    assert users.authenticate("millrace", "admin").admin
    with pytest.raises(EngineError) as refused:
        users.authenticate(name, password)
    assert refused.value.code == 516
    assert refused.value.text.replace(name, "?", 1) == (
        "Code: 516. DB::Exception: ?: Authentication failed: password is incorrect, or there is no "
        "user with such name. (AUTHENTICATION_FAILED)"
    )


def test_a_digest_may_be_in_capitals_and_a_password_any_bytes() -> None:
    assert made("a", digest=made("a").digest.upper()).accepts("secret")
    sent = b"\xffx".decode("utf-8", "surrogateescape")
    assert made("a", digest=hashlib.sha256(b"\xffx").hexdigest()).accepts(sent)


def test_a_user_cannot_take_the_administrators_name(users: Users, file: Path) -> None:
    for or_replace in (False, True):
        with pytest.raises(EngineError) as refused:
            users.create(made("millrace"), if_not_exists=False, or_replace=or_replace)
        assert refused.value.code == 493
    users.create(made("millrace"), if_not_exists=True, or_replace=False)
    assert users.find("millrace") is ADMIN
    assert not file.exists()


def test_a_store_that_fails_changes_nothing(
    users: Users, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(users, made("a"))
    before = file.read_bytes()

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        create(users, made("b"))
    assert users.find("b") is None
    assert file.read_bytes() == before
    monkeypatch.undo()
    create(users, made("b"))
    assert [user.name for user in Users(file, ADMIN).all()] == ["a", "b"]


def test_a_change_of_one_user_is_stored_and_the_others_text_is_reused(
    users: Users, file: Path
) -> None:
    create(users, made("a"), made("b"))
    texts = dict(users._texts)
    users.alter("a", lambda user: replace(user, database="d"))
    assert users._texts[User, "b"] is texts[User, "b"]
    assert [user.database for user in Users(file, ADMIN).all()] == ["d", ""]


def test_a_profile_may_have_the_name_of_a_user(users: Users, file: Path) -> None:
    create(users, made("a", profile="a"))
    users.set_profile("a", {"x": Setting("1")}, if_not_exists=False, or_replace=False)
    found = Users(file, ADMIN).find("a")
    assert found is not None
    assert found.value("x") == "1"


@pytest.mark.parametrize(
    ("if_not_exists", "or_replace", "value"), [(True, False, "1"), (False, True, "2")]
)
def test_a_profile_that_exists_is_kept_or_replaced(
    users: Users, if_not_exists: bool, or_replace: bool, value: str
) -> None:
    users.set_profile("p", {"x": Setting("1")}, if_not_exists=False, or_replace=False)
    with pytest.raises(EngineError) as refused:
        users.set_profile("p", {}, if_not_exists=False, or_replace=False)
    assert refused.value.code == 493
    users.set_profile("p", {"x": Setting("2")}, if_not_exists=if_not_exists, or_replace=or_replace)
    create(users, made("a", profile="p"))
    found = users.find("a")
    assert found is not None
    assert found.value("x") == value


def test_what_is_not_there_is_dropped_only_if_it_exists(users: Users) -> None:
    users.drop("a", if_exists=True)
    users.drop_profile("p", if_exists=True)
    for drop, code in ((users.drop, 192), (users.drop_profile, 180)):
        with pytest.raises(EngineError) as refused:
            drop("x", if_exists=False)
        assert refused.value.code == code
