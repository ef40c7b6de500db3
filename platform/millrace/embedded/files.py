"""Reads and writes an installation's files: each whole or not at all, one process at a time."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from millrace.embedded.errors import Unavailable

#: Error numbers of a folder that this user may not write to, or that is mounted read-only.
_CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def written(path: Path) -> Iterator[None]:
    """Raise Unavailable, with a one-line message, if the block may not write to ``path``."""
    try:
        yield
    except OSError as error:
        if error.errno not in _CLOSED:
            raise
        raise Unavailable(
            f"{path} can't be written ({error.strerror}). Run this as the folder's owner, or set "
            "MILLRACE_HOME to a writable folder."
        ) from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on ``path`` among all processes. It dies with the process."""
    with written(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a")
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def read_json(path: Path) -> dict[str, Any]:
    """The object in ``path``; empty if the file does not exist."""
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    return content


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Replace ``path`` with a JSON object, atomically; only its owner can read it."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True) + "\n")


def write_text(path: Path, content: str) -> None:
    """Replace ``path``, atomically; only its owner can read it."""
    with written(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # mkstemp creates the file with mode 0600.
        number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(number, "wb") as handle:
            # fsencode keeps the bytes of paths as the file system has them, whatever the locale.
            handle.write(os.fsencode(content))
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink()
        raise
