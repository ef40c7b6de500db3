"""Finds and ends the processes of an installation, no matter who started them.

Every process under supervisord has ``MILLRACE_STACK=<home>`` in its environment. PostgreSQL
overwrites its environment, so it is recognized by its working folder, which is its data folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import psutil

MARK = "MILLRACE_STACK"


def of(home: Path) -> list[psutil.Process]:
    """All processes of the installation in ``home``, except this process."""
    return [
        process
        for process in psutil.process_iter()
        if process.pid != os.getpid() and _belongs(process, home)
    ]


def belongs(pid: int, home: Path) -> bool:
    """Whether the process is running and belongs to the installation in ``home``."""
    try:
        return _belongs(psutil.Process(pid), home)
    except psutil.Error:
        return False


def end(running: Iterable[psutil.Process], seconds: float = 10.0) -> None:
    """Ask the processes to end, and kill those still running after ``seconds``."""
    left = list(running)
    for signal in ("terminate", "kill"):
        for process in left:
            try:
                getattr(process, signal)()
            except psutil.NoSuchProcess:
                continue
        _, left = psutil.wait_procs(left, timeout=seconds)


def _belongs(process: psutil.Process, home: Path) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        if process.environ().get(MARK) == str(home):
            return True
        return process.name() == "postgres" and Path(process.cwd()).is_relative_to(home)
    except (psutil.Error, OSError):
        # The process has ended, or belongs to another user, so it is not part of the installation.
        return False
