"""What is made once for a file is made once, and the heavy files go first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INI = """
[pytest]
addopts = -p tests.heaviest_first -p xdist -p randomly
markers =
  slow: s
"""
SHARED = """
import pathlib, pytest

@pytest.fixture(scope="module")
def made():
    with pathlib.Path("made").open("a") as file:
        file.write("x")

@pytest.mark.parametrize("n", range(12))
def test_shares(n, made):
    pass
"""
#: Each notes its name.
NOTES = """
import pathlib, pytest

{mark}
@pytest.mark.parametrize("n", range(2))
def test_it(n):
    with pathlib.Path("order").open("a") as file:
        file.write("{name}")
"""

PROCESS = """
import os, pathlib, time

def test_notes():
    time.sleep(0.5)
    with pathlib.Path("processes").open("a") as file:
        file.write(f"{os.getpid()} ")
"""


def run(folder: Path, *arguments: str) -> None:
    (folder / "pytest.ini").write_text(INI)
    # Of this run, which may be one of xdist's processes, it knows nothing.
    clean = {name: one for name, one in os.environ.items() if not name.startswith("PYTEST_")}
    options = ["-q", "--dist", "loadfile", "--no-loadscope-reorder", *arguments]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=folder,
        env=clean | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_made_for_a_file_is_made_once(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(SHARED)
    run(tmp_path, "-n", "3")
    assert (tmp_path / "made").read_text() == "x"


def test_heavy_files_come_first(tmp_path: Path) -> None:
    for name, mark in (("a", ""), ("b", "@pytest.mark.slow"), ("c", "")):
        (tmp_path / f"test_{name}.py").write_text(NOTES.format(name=name, mark=mark))
    run(tmp_path, "-n", "1")
    assert (tmp_path / "order").read_text() == "bbaacc"


@pytest.mark.slow
def test_files_that_share_an_installation_stay_together(tmp_path: Path) -> None:
    folder = tmp_path / "tests" / "browser"
    folder.mkdir(parents=True)
    for name in "abc":
        (folder / f"test_{name}.py").write_text(PROCESS)
    (tmp_path / "test_d.py").write_text("def test_other(): pass")
    run(tmp_path, "-n", "2")
    assert len(set((tmp_path / "processes").read_text().split())) == 1
