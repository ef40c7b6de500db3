"""The data folder's lock, the engine's configuration files, and the server's arguments."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from millrace.embedded.clickhouse import __main__ as main
from millrace.embedded.clickhouse import config
from millrace.embedded.clickhouse.lock import FolderInUse, FolderLock


def test_a_folder_is_open_once_and_the_refusal_names_the_process(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    with pytest.raises(FolderInUse, match=rf"open in process {os.getpid()}\. Stop that"):
        FolderLock(tmp_path)
    lock.release()
    FolderLock(tmp_path).release()


def test_the_id_of_an_earlier_process_leaves_no_trace(tmp_path: Path) -> None:
    (tmp_path / "millrace.lock").write_text("99999999999999999999\n")
    lock = FolderLock(tmp_path)
    assert (tmp_path / "millrace.lock").read_text() == f"{os.getpid()}\n"
    lock.release()


def _grants(users: ET.Element, role: str) -> list[str | None]:
    return [query.text for query in users.findall(f"roles/{role}/grants/query")]


def test_each_user_has_a_role_for_exactly_its_databases(tmp_path: Path) -> None:
    path = config.write(
        tmp_path, {"a": frozenset({"d<1", "c"}), "none": frozenset(), "b": frozenset({"e"})}
    )
    users = ET.parse(tmp_path / "users.xml").getroot()  # noqa: S314
    assert _grants(users, "user_a") == ["GRANT SELECT ON `c`.*", "GRANT SELECT ON `d<1`.*"]
    assert _grants(users, "user_b") == ["GRANT SELECT ON `e`.*"]
    assert _grants(users, "millrace_nobody") == []
    assert _grants(users, "millrace_reader") == ["GRANT SELECT ON *.*"]
    assert users.find("roles/user_none") is None
    # The account of the connections may take each role, and has no right of its own.
    (granted,) = [query.text or "" for query in users.findall("users/default/grants/query")]
    roles = {role.tag for role in users.findall("roles/*")}
    assert set(granted.removeprefix("GRANT ").split(", ")) == roles
    parsed = ET.parse(path).getroot()  # noqa: S314
    assert parsed.findtext("users_config") == str(tmp_path / "users.xml")


def test_the_configuration_is_xml_in_a_folder_of_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "a & <b>"
    folder.mkdir()
    parsed = ET.parse(config.write(folder, {})).getroot()  # noqa: S314
    assert parsed.findtext("users_config") == str(folder / "users.xml")
    looks = [each for each in parsed if each.tag.endswith("seconds_if_nothing_to_do")]
    assert [each.text for each in looks] == [str(config.LOOK)] * 3


# --- The process ------------------------------------------------------------------------------


def _arguments(monkeypatch: pytest.MonkeyPatch, *given: str) -> Any:
    base = ("x", "--data=/d", "--port=0", "--password-file=/p")
    monkeypatch.setattr(sys, "argv", [*base, *given])
    return main._arguments()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1"])
def test_it_may_listen_on_loopback(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _arguments(monkeypatch, f"--host={host}").host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "8.8.8.8"])  # noqa: S104
def test_it_never_listens_elsewhere(
    host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        _arguments(monkeypatch, f"--host={host}")
    assert "only on loopback" in capsys.readouterr().err


def test_an_administrator_without_a_password_is_none(tmp_path: Path) -> None:
    file = tmp_path / "password"
    arguments: Any = type("Arguments", (), {"password_file": file, "user": "millrace"})
    file.write_text(" \n")
    with pytest.raises(SystemExit, match="contains no password"):
        main._admin(arguments)
    file.write_text("secret\n")
    admin = main._admin(arguments)
    assert admin.admin
    assert admin.accepts("secret")


class FakeParts:
    """Server, front, processes and engine in one; ``waits`` are the answers of ``stop``."""

    def __init__(self, *waits: bool) -> None:
        self._waits = list(waits)
        self.calls: list[str] = []
        self.busy = 0
        self.processes = self

    def stop(self, seconds: float) -> bool:
        self.calls.append(f"stop {seconds}")
        ended = self._waits.pop(0)
        self.busy = 0 if ended else 1
        return ended

    def kill_all(self) -> None:
        self.calls.append("kill")

    def close(self) -> None:
        self.calls.append("close")


@pytest.mark.parametrize(
    ("waits", "calls"),
    [
        ([True], ["stop 8.0", "close", "close"]),
        ([False, True], ["stop 8.0", "kill", "stop 2.0", "close", "close"]),
        # Closing the engine under a query that runs would crash it.
        ([False, False], ["stop 8.0", "kill", "stop 2.0"]),
    ],
)
def test_at_the_end_queries_are_waited_for_then_killed_and_never_closed_under(
    waits: list[bool], calls: list[str]
) -> None:
    parts: Any = FakeParts(*waits)
    main._stop(parts, parts, parts)
    assert parts.calls == calls
