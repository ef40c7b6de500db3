"""A test that fails is run once more, alone, after all others.

`make test` is several runs of pytest. Each notes its failures (``run``); after the last run these
are repeated (``judge``). If all pass then, the tests have passed, and a table names them as flaky,
so that they get mended. More than MOST of them, or one that fails again, is a failure.

A failure of a chaos or a security test is never repeated in the hope of better luck: it may say
that messages were lost, doubled, or seen by another tenant. Only one that has waited in vain for
something else says so (``Waited``), and may be. Nor is a crash of pytest's own process repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

import pytest

#: Flaky tests that one run may have.
MOST = 3
#: Where runs note what failed; one file each.
NOTES = Path(".pytest_cache", "failed").resolve()
_FILE, _PASSED = "MILLRACE_FAILED_TESTS", "MILLRACE_PASSED_TESTS"
_UNSAFE = "unsafe"
_MARKS = ("chaos", "security")
#: pytest's exit status when tests have failed, and nothing worse.
_TESTS_FAILED = 1


class Waited(pytest.fail.Exception):
    """A chaos or security test has waited in vain, and neither for rows nor for a wall."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A test that failed: its id, the first line of why, and whether it may be run again.

    ``setup`` is where a set-up failed, '' for a test itself: one service that does not start in
    time fails every test that asks for it, and is one failure.
    """

    test: str
    reason: str
    is_unsafe: bool
    setup: str = ""

    @property
    def cause(self) -> str:
        """Equal for all that one thing has failed."""
        return self.setup or self.test


# --- As a plugin: hooks that tests/conftest.py hands to pytest -----------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Mark the reports of failures that no second run excuses."""
    report = yield
    is_guarding = any(item.get_closest_marker(mark) for mark in _MARKS)
    if is_guarding and call.excinfo and not call.excinfo.errisinstance(Waited):
        report.user_properties.append((_UNSAFE, True))
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note a test that failed; in a second run also those that passed."""
    has_crashed = report.when == "???"
    marked = (_UNSAFE, True) in map(tuple, report.user_properties)
    _note(report, is_unsafe=marked or has_crashed)
    if report.passed and report.when == "call" and (path := os.environ.get(_PASSED)):
        with Path(path).open("a") as file:
            file.write(f"{report.nodeid}\n")


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Note a file that could not be read: none of its tests has run, so none can be repeated."""
    _note(report, is_unsafe=True)


def _note(report: pytest.TestReport | pytest.CollectReport, *, is_unsafe: bool) -> None:
    """In the process that all of xdist's report to."""
    path = os.environ.get(_FILE)
    if not report.failed or not path or "PYTEST_XDIST_WORKER" in os.environ:
        return
    failure = Failure(report.nodeid, _reason(report), is_unsafe, _setup(report))
    with Path(path).open("a") as file:
        file.write(json.dumps(asdict(failure)) + "\n")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash else str(report.longrepr)
    return (text.splitlines() or [""])[0]


def _setup(report: pytest.TestReport | pytest.CollectReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    if report.when != "setup" or crash is None:
        return ""
    # Each of xdist's processes has a service of its own.
    worker = getattr(report, "worker_id", "")
    return f"{worker} {crash.path}:{crash.lineno} {_reason(report)}"


# --- As a command ------------------------------------------------------------------------------


def run(name: str, arguments: list[str]) -> int:
    """Run pytest; returns 0 where all passed, or where what failed may be repeated later."""
    NOTES.mkdir(parents=True, exist_ok=True)
    path = NOTES / name
    path.unlink(missing_ok=True)
    status = _pytest(arguments, path)
    if status != _TESTS_FAILED:
        return status
    if not read(path) or not may_be_repeated(noted()):
        return status
    print(f"\nRun once more, alone, after all others: {', '.join(tests_of(read(path)))}\n")
    return 0


def judge() -> int:
    """Repeat what failed; returns 0 where all of it passes."""
    failures = noted()
    if not failures:
        return 0
    if not may_be_repeated(failures):
        print(_table("failed", failures))
        return _TESTS_FAILED
    with TemporaryDirectory() as folder:
        again, passed = Path(folder, "again"), Path(folder, "passed")
        passed.touch()
        arguments = ["-q", "-p", "no:randomly", *tests_of(failures)]
        status = _pytest(arguments, again, {_PASSED: str(passed)})
        good = set(passed.read_text().splitlines())
        # One that is skipped now has shown nothing.
        twice = read(again) or [one for one in failures if one.test not in good]
    if status or twice:
        print(_table("failed twice", twice or failures))
        return status or _TESTS_FAILED
    print(_table("flaky: failed once, passed alone; mend them", failures))
    return 0


def may_be_repeated(failures: list[Failure]) -> bool:
    """Whether so few have failed, and none of them by what must never happen."""
    causes = {one.cause for one in failures}
    return len(causes) <= MOST and not any(one.is_unsafe for one in failures)


def tests_of(failures: list[Failure]) -> list[str]:
    """Each test once: it may have failed in its set-up and after it."""
    return list(dict.fromkeys(one.test for one in failures))


def noted() -> list[Failure]:
    """What the runs so far have noted."""
    return [one for path in sorted(NOTES.glob("*")) for one in read(path)]


def read(path: Path) -> list[Failure]:
    """The failures of one run."""
    if not path.exists():
        return []
    return [Failure(**json.loads(line)) for line in path.read_text().splitlines()]


def _pytest(
    arguments: list[str], path: Path, more: Mapping[str, str] = MappingProxyType({})
) -> int:
    command = [sys.executable, "-m", "pytest", *arguments]
    environment = os.environ | {_FILE: str(path), **more}
    return subprocess.run(command, env=environment, check=False).returncode


def _table(title: str, failures: list[Failure]) -> str:
    lines = [f"  {one.test}\n      {one.reason[:160]}" for one in failures]
    return "\n".join([f"\n{len(tests_of(failures))} {title}", *lines])


def main(arguments: list[str]) -> int:
    """``run NAME pytest's arguments…``, ``judge``, or ``forget`` what earlier runs noted."""
    parser = argparse.ArgumentParser(prog="python -m tests.flaky", description=main.__doc__)
    parser.add_argument("step", choices=["run", "judge", "forget"])
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="name and arguments")
    given = parser.parse_args(arguments)
    if given.step == "run":
        began = time.monotonic()
        name, *rest = given.rest
        status = run(name, rest)
        print(f"{name}: {time.monotonic() - began:.0f} s")
        return status
    if given.step == "judge":
        return judge()
    for path in NOTES.glob("*"):
        path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
