"""A lock that lets only one process open a data folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class FolderInUse(Exception):
    """Another live process has opened the folder. The message has its process id."""


class FolderLock:
    """An advisory lock on a folder. The kernel releases it when the process ends in any way."""

    def __init__(self, folder: Path) -> None:
        """Take the lock or raise FolderInUse."""
        path = folder / "millrace.lock"
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.read(self._file, 32).decode(errors="replace").strip() or "unknown"
            os.close(self._file)
            msg = (
                f"{folder} is already open in process {owner}. Stop that process first, "
                "or choose another --data folder."
            )
            raise FolderInUse(msg) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let another process take the folder."""
        os.close(self._file)
