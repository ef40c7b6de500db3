"""The files of an installation: written whole or not at all, and by one process at a time."""

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

#: What the system says of a folder that is closed to this user, or mounted for reading alone.
_CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def written(path: Path) -> Iterator[None]:
    """Raises Unavailable, in one line, where the block can't write to ``path``."""
    try:
        yield
    except OSError as error:
        if error.errno not in _CLOSED:
            raise
        raise Unavailable(
            f"{path} can't be written ({error.strerror}). Run it as the folder's owner, or set "
            "MILLRACE_HOME to a folder that may be written."
        ) from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on ``path`` among all processes; it ends with the process at most."""
    with written(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a")
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def read_json(path: Path) -> dict[str, Any]:
    """The object in ``path``; empty where there is no such file."""
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    return content


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Replace ``path`` in one step, readable by its owner alone."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True) + "\n")


def write_text(path: Path, content: str) -> None:
    """Replace ``path`` in one step, readable by its owner alone."""
    with written(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # mkstemp makes the file 0600 from the start.
        number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(number, "wb") as handle:
        # Paths as the file system has them, whatever the locale is.
        handle.write(os.fsencode(content))
    Path(name).replace(path)
