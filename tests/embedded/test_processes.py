"""Which processes are an installation's, and how they are ended."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import psutil
import pytest

from millrace.embedded import processes

HOME = Path("/srv/millrace")


class FakeProcess:
    def __init__(self, pid: int = 1, **facts: Any) -> None:
        self.pid = pid
        self._facts = {
            "status": psutil.STATUS_SLEEPING,
            "environ": {},
            "name": "python",
            "cwd": "/",
        } | facts
        self.signals: list[str] = []

    def _fact(self, name: str) -> Any:
        if isinstance(self._facts[name], Exception):
            raise self._facts[name]
        return self._facts[name]

    def status(self) -> str:
        return str(self._fact("status"))

    def environ(self) -> dict[str, str]:
        return dict(self._fact("environ"))

    def name(self) -> str:
        return str(self._fact("name"))

    def cwd(self) -> str:
        return str(self._fact("cwd"))

    def terminate(self) -> None:
        self._signal("terminate")

    def kill(self) -> None:
        self._signal("kill")

    def _signal(self, name: str) -> None:
        self.signals.append(name)
        if self._facts.get("is_gone"):
            raise psutil.NoSuchProcess(self.pid)


MARKED = {processes.MARK: str(HOME)}


@pytest.mark.parametrize(
    ("facts", "is_ours"),
    [
        ({"environ": MARKED}, True),
        ({"environ": {processes.MARK: "/srv/other"}}, False),
        ({"environ": {processes.MARK: "/srv/millrace/inner"}}, False),
        ({"name": "postgres", "cwd": "/srv/millrace/postgres/data"}, True),
        ({"name": "postgres", "cwd": "/srv/millrace-2/postgres/data"}, False),
        ({"name": "bash", "cwd": "/srv/millrace"}, False),
        ({"environ": MARKED, "status": psutil.STATUS_ZOMBIE}, False),
        ({"environ": psutil.AccessDenied(1)}, False),
        ({"environ": psutil.NoSuchProcess(1)}, False),
        ({"name": "postgres", "cwd": PermissionError()}, False),
    ],
)
def test_a_process_is_known_by_its_mark_or_postgresqls_folder(
    facts: dict[str, Any], is_ours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = FakeProcess(**facts)
    monkeypatch.setattr(psutil, "Process", lambda pid: process)
    monkeypatch.setattr(psutil, "process_iter", lambda: [process])
    assert processes.belongs(1, HOME) is is_ours
    assert processes.of(HOME) == ([process] if is_ours else [])


def test_this_process_is_not_among_them(monkeypatch: pytest.MonkeyPatch) -> None:
    others = [FakeProcess(pid, environ=MARKED) for pid in (os.getpid(), os.getpid() + 1)]
    monkeypatch.setattr(psutil, "process_iter", lambda: others)
    assert processes.of(HOME) == [others[1]]


def test_a_process_that_has_ended_belongs_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(pid: int) -> None:
        raise psutil.NoSuchProcess(pid)

    monkeypatch.setattr(psutil, "Process", none)
    assert not processes.belongs(1, HOME)


def test_only_those_that_do_not_end_when_asked_are_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    willing, stubborn, gone = FakeProcess(1), FakeProcess(2), FakeProcess(3, is_gone=True)
    waits: list[float] = []

    def wait(running: list[FakeProcess], timeout: float) -> tuple[list[Any], list[Any]]:
        waits.append(timeout)
        return [], [process for process in running if process is stubborn]

    monkeypatch.setattr(psutil, "wait_procs", wait)
    processes.end(iter([willing, stubborn, gone]), seconds=3)  # type: ignore[arg-type]
    assert willing.signals == ["terminate"]
    assert stubborn.signals == ["terminate", "kill"]
    assert gone.signals == ["terminate"]
    assert waits == [3, 3]
