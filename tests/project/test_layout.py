"""The folder ``platform`` must never stand in for the standard library's module."""

from __future__ import annotations

import platform
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_platform_is_the_standard_librarys() -> None:
    assert Path(platform.__file__).parent == Path(sysconfig.get_path("stdlib"))


def test_the_folder_platform_has_no_module_of_its_own() -> None:
    assert list((ROOT / "platform").glob("*.py")) == []


def test_manage_and_celery_start_beside_that_folder() -> None:
    for command in (["manage.py", "check"], ["-m", "celery", "--app=millrace", "--version"]):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", *command], cwd=ROOT, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
