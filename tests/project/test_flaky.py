"""What fails is run once more, after all others; but not what is lost, doubled or leaked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INI = "[pytest]\naddopts = -p tests.flaky -p xdist\nmarkers =\n  chaos: c\n  security: s\n"
#: Fails at its first run, and passes at its second.
ONCE = """
import pathlib, pytest
{mark}
def test_{name}():
    file = pathlib.Path("{name}.ran")
    if not file.exists():
        file.touch()
        {failure}
"""
ALWAYS = "def test_always():\n    assert not 'today'\n"
GOOD = "def test_good():\n    pass\n"


class Runs:
    """Runs of pytest in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "pytest.ini").write_text(INI)

    def has(self, name: str, text: str) -> None:
        (self.folder / f"test_{name}.py").write_text(text)

    def fails_once(self, name: str, mark: str = "", failure: str = "assert False, 'once'") -> None:
        mark = f"@pytest.mark.{mark}" if mark else ""
        self.has(name, ONCE.format(name=name, mark=mark, failure=failure))

    def _do(self, *arguments: str) -> tuple[int, str]:
        # Of this run, which may be one of xdist's processes, it knows nothing.
        clean = {name: one for name, one in os.environ.items() if not name.startswith("PYTEST_")}
        done = subprocess.run(
            [sys.executable, "-m", "tests.flaky", *arguments],
            cwd=self.folder,
            env=clean | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def run(self, *arguments: str) -> tuple[int, str]:
        return self._do("run", "some", "-q", *arguments)

    def judge(self) -> tuple[int, str]:
        return self._do("judge")

    def forget(self) -> None:
        assert self._do("forget") == (0, "")


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


@pytest.mark.parametrize("processes", [(), ("-n", "2")], ids=["alone", "with xdist"])
def test_a_test_that_passes_alone_is_named_as_flaky(runs: Runs, processes: tuple[str, ...]) -> None:
    runs.has("good", GOOD)
    runs.fails_once("shaky")
    status, text = runs.run(*processes)
    assert status == 0, text
    assert "alone, after all others: test_shaky.py::test_shaky" in text
    status, text = runs.judge()
    assert status == 0, text
    assert "1 flaky: failed once, passed alone; mend them" in text
    assert "test_shaky.py::test_shaky\n      AssertionError: once" in text
    runs.forget()
    assert runs.judge() == (0, "")


def test_a_test_that_fails_twice_is_a_failure(runs: Runs) -> None:
    runs.has("always", ALWAYS)
    runs.fails_once("shaky")
    assert runs.run()[0] == 0
    status, text = runs.judge()
    assert status == 1
    assert "1 failed twice" in text
    assert "test_always.py::test_always" in text.split("failed twice")[1]


def test_more_than_three_are_a_failure_at_once(runs: Runs) -> None:
    for number in range(4):
        runs.fails_once(f"shaky_{number}")
    assert runs.run()[0] == 1
    status, text = runs.judge()
    assert (status, "4 failed" in text) == (1, True)


@pytest.mark.parametrize("processes", [(), ("-n", "1")], ids=["alone", "with xdist"])
def test_a_service_that_did_not_start_is_one_failure_of_all_that_asked_for_it(
    runs: Runs, processes: tuple[str, ...]
) -> None:
    service = (
        "import pathlib, pytest\n"
        "@pytest.fixture(scope='session')\n"
        "def service():\n"
        "    file = pathlib.Path('service.ran')\n"
        "    if not file.exists():\n"
        "        file.touch()\n"
        "        raise TimeoutError\n"
        "@pytest.mark.parametrize('number', range(9))\n"
        "def test_it(service, number):\n    pass\n"
    )
    runs.has("service", service)
    assert runs.run(*processes)[0] == 0
    status, said = runs.judge()
    assert status == 0
    assert "9 flaky" in said


@pytest.mark.parametrize("mark", ["chaos", "security"])
def test_a_failed_check_of_safety_is_never_repeated(runs: Runs, mark: str) -> None:
    runs.fails_once("lost", mark=mark, failure="assert 1 == 2, 'doubled'")
    assert runs.run()[0] == 1
    status, text = runs.judge()
    assert status == 1
    assert "AssertionError: doubled" in text


@pytest.mark.parametrize("failure", ["pytest.fail('DID NOT RAISE')", "raise ValueError('rows')"])
def test_nor_is_any_other_failure_of_such_a_test(runs: Runs, failure: str) -> None:
    runs.fails_once("odd", mark="security", failure=failure)
    assert runs.run()[0] == 1


def test_a_second_run_that_is_skipped_shows_nothing(runs: Runs) -> None:
    runs.has(
        "some",
        "import pathlib, pytest\n"
        "def test_some():\n"
        "    if pathlib.Path('ran').exists():\n"
        "        pytest.skip('not here')\n"
        "    pathlib.Path('ran').touch()\n"
        "    assert False\n",
    )
    assert runs.run()[0] == 0
    status, text = runs.judge()
    assert (status, "1 failed twice" in text) == (1, True)


def test_what_such_a_test_waited_for_in_vain_may_be_repeated(runs: Runs) -> None:
    waited = "from tests.flaky import Waited; raise Waited('nothing came')"
    runs.fails_once("late", mark="chaos", failure=waited)
    assert runs.run()[0] == 0
    assert runs.judge()[0] == 0


def test_a_run_that_could_not_be_made_is_a_failure(runs: Runs) -> None:
    assert runs.run("--no-such-option")[0] == 4
    assert runs.run()[0] == 5, "There is no test."


@pytest.mark.slow
@pytest.mark.parametrize("processes", [(), ("-n", "2")], ids=["alone", "with xdist"])
def test_a_file_that_can_not_be_read_is_a_failure(runs: Runs, processes: tuple[str, ...]) -> None:
    runs.has("broken", "import nothing_of_that_name\n")
    assert runs.run(*processes)[0] > 0
    runs.fails_once("shaky")
    assert runs.run("--continue-on-collection-errors", *processes)[0] > 0
    assert runs.judge()[0] > 0
