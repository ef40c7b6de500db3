"""An installation's files: whole or not at all, for the owner alone, one process at a time."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from millrace.embedded import files
from millrace.embedded.errors import Unavailable


def test_a_missing_file_reads_as_empty_and_a_broken_one_is_an_error(tmp_path: Path) -> None:
    assert files.read_json(tmp_path / "none.json") == {}
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(json.JSONDecodeError):
        files.read_json(tmp_path / "broken.json")


def test_what_was_written_is_read_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.json"
    files.write_json(path, {"b": 1, "a": "ü"})
    assert files.read_json(path) == {"a": "ü", "b": 1}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    # Also if it was open to others before.
    path.chmod(0o644)
    files.write_json(path, {})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["a.json"]


def test_who_reads_meanwhile_has_the_old_file_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    files.write_text(path, "old")
    replace = Path.replace
    seen: list[tuple[str, str]] = []

    def watched(self: Path, target: Any) -> Path:
        seen.append((self.read_text(), path.read_text()))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    files.write_text(path, "new")
    assert seen == [("new", "old")]
    assert path.read_text() == "new"


def test_a_write_that_fails_keeps_the_old_file_and_leaves_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "secrets.json"
    files.write_text(path, "old")

    def full(content: str) -> bytes:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsencode", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_text(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["secrets.json"]


def test_a_path_that_is_not_utf_8_keeps_its_bytes(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a", "folder=\udcff")
    assert (tmp_path / "a").read_bytes() == b"folder=\xff"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_folder_that_is_closed_is_named_with_what_to_do(number: int, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"can't be written \(.*\)\. .*MILLRACE_HOME"):  # noqa: SIM117
        with files.written(tmp_path):
            raise OSError(number, os.strerror(number))


def test_any_other_error_of_a_write_stays_itself(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space"), files.written(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")


def _is_locked(path: Path) -> bool:
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_lock_is_held_within_its_block_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / ".lock"
    with files.locked(path):
        assert _is_locked(path)
    assert not _is_locked(path)
    with pytest.raises(RuntimeError), files.locked(path):
        raise RuntimeError
    assert not _is_locked(path)
