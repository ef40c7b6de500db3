"""How root hands a program over to ``nobody``, with the smallest capability that is enough."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from millrace.embedded import unprivileged
from millrace.embedded.errors import Unavailable


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> set[Path]:
    """Folders that others may not pass; all else is open. This process counts as root."""
    folders: set[Path] = set()
    monkeypatch.setattr(unprivileged, "_others_may", lambda path, bits: path not in folders)
    monkeypatch.setattr(unprivileged, "is_root", lambda: True)
    monkeypatch.setattr(unprivileged, "_has_capability", lambda number: True)
    monkeypatch.setattr(unprivileged, "_group", lambda: "65534")
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    return folders


PROGRAM, FOLDER = Path("/opt/pg/bin/postgres"), Path("/srv/home/postgres")


def _words() -> tuple[str, ...]:
    return unprivileged.prefix(PROGRAM, FOLDER)


def test_who_is_not_root_runs_the_program_itself(
    closed: set[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unprivileged, "is_root", lambda: False)
    assert _words() == ()


def test_in_open_folders_no_capability_is_handed_on(closed: set[Path]) -> None:
    assert _words() == ("/bin/setpriv", "--reuid=nobody", "--regid=65534", "--clear-groups")


@pytest.mark.parametrize("folder", ["/opt", "/opt/pg/bin", "/srv", "/srv/home"])
def test_a_closed_folder_above_the_program_or_the_data_is_passed_by_one_capability(
    closed: set[Path], folder: str
) -> None:
    closed.add(Path(folder))
    assert _words()[4:] == (
        "--securebits=+no_setuid_fixup",
        "--inh-caps=+dac_read_search",
        "--ambient-caps=+dac_read_search",
    )


def test_where_root_lacks_that_capability_the_larger_one_is_handed_on(
    closed: set[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    closed.add(Path("/srv"))
    asked: list[int] = []
    monkeypatch.setattr(unprivileged, "_has_capability", lambda number: bool(asked.append(number)))
    assert _words()[-1] == "--ambient-caps=+dac_override"
    assert asked == [2]  # CAP_DAC_READ_SEARCH of linux/capability.h


def test_a_program_that_others_may_not_execute_needs_the_larger_one(closed: set[Path]) -> None:
    closed.add(PROGRAM)
    assert _words()[-1] == "--ambient-caps=+dac_override"


def test_without_setpriv_the_message_says_what_to_install(
    closed: set[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(Unavailable, match="install util-linux"):
        _words()


def test_others_may_only_what_all_the_bits_say(tmp_path: Path) -> None:
    path = tmp_path / "program"
    path.touch()
    for mode, may in ((0o755, True), (0o711, False), (0o744, False), (0o770, False)):
        path.chmod(mode)
        assert unprivileged._others_may(path, unprivileged._READ) is may


@pytest.mark.parametrize(
    ("bounding", "has"), [("000001ffffffffff", True), ("fffffffffffffffb", False)]
)
def test_a_capability_is_looked_up_in_the_bounding_set(
    bounding: str, has: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = f"Name:\tpython\nCapPrm:\tffffffffffffffff\nCapBnd:\t{bounding}\nCapAmb:\t0\n"
    monkeypatch.setattr(Path, "read_text", lambda self: status)
    assert unprivileged._has_capability(2) is has


@pytest.mark.parametrize(("is_root", "owned"), [(True, [("/a", 65534, 65533)]), (False, [])])
def test_only_root_gives_files_away(
    is_root: bool, owned: list[tuple[str, int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, int, int]] = []
    entry = SimpleNamespace(pw_uid=65534, pw_gid=65533)
    monkeypatch.setattr(unprivileged, "is_root", lambda: is_root)
    monkeypatch.setattr(pwd, "getpwnam", lambda name: entry if name == "nobody" else None)
    monkeypatch.setattr(os, "chown", lambda path, uid, gid: done.append((str(path), uid, gid)))
    unprivileged.own(Path("/a"))
    assert done == owned
