"""``make up`` and tests in a checkout that its owner alone can enter; refusals in one line."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_NOT_COPIED = shutil.ignore_patterns(".git", ".venv", ".millrace", ".tools", ".*_cache", "*.pyc")
_UV = Path(shutil.which("uv") or ROOT / ".tools" / "bin" / "uv")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="Only root can be someone else.")


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    """A copy of the project in a closed folder with blanks and letters of several alphabets."""
    closed = tmp_path / "x y"
    closed.mkdir(mode=0o700)
    made = closed / "Größe проба"
    shutil.copytree(ROOT, made, ignore=_NOT_COPIED)
    (made / "tmp").mkdir()
    jars = ROOT / ".millrace" / "cache"
    if jars.exists():
        shutil.copytree(jars, made / ".millrace" / "cache")
    yield made
    _make(made, "down")


def _copy_compiled(checkout: Path) -> None:
    """What Python has compiled of the same packages: half a minute of CPU in a new environment."""
    ours = ROOT / ".venv"
    for compiled in ours.rglob("__pycache__"):
        copy = checkout / ".venv" / compiled.relative_to(ours)
        if copy.parent.is_dir():
            shutil.copytree(compiled, copy, dirs_exist_ok=True)


def _environment(checkout: Path) -> dict[str, str]:
    # As a shell has it that runs no tests.
    ours = ("MILLRACE_", "VIRTUAL_ENV", "PYTEST_", "DJANGO_SETTINGS_MODULE", "MAKE", "MFLAGS")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    # What the project has fetched already, without being told: its path may have blanks.
    path = f"{_UV.parent}{os.pathsep}{kept['PATH']}"
    return kept | {"TMPDIR": str(checkout / "tmp"), "PATH": path}


def _make(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return _run(["make", "--no-print-directory", *arguments], checkout)


def _run(command: list[str], checkout: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=checkout,
        env=_environment(checkout),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_make_up_and_the_tests_run_in_a_closed_folder_with_an_odd_name(checkout: Path) -> None:
    assert _make(checkout, "setup").returncode == 0
    _copy_compiled(checkout)
    up = subprocess.Popen(
        ["make", "--no-print-directory", "up"],
        cwd=checkout,
        env=_environment(checkout),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        start_new_session=True,
    )
    assert up.stdout is not None
    said = []
    for line in up.stdout:
        said.append(line)
        if "Press Ctrl-C to stop" in line:
            break
    assert any("Press Ctrl-C to stop" in line for line in said), "".join(said)
    assert _make(checkout, "status").returncode == 0
    assert "MILLRACE_URL=http://127.0.0.1:" in _make(checkout, "-s", "env").stdout
    # As Ctrl-C does: to all of the foreground.
    os.killpg(up.pid, signal.SIGINT)
    assert "Stopped." in up.communicate(timeout=120)[0]

    python = str(checkout / ".venv" / "bin" / "python")
    tests = _run([python, "-m", "pytest", "-q", "tests/metrics"], checkout)
    assert tests.returncode == 0, tests.stdout + tests.stderr
    assert checkout.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "how", [pytest.param("another's", marks=needs_root), pytest.param("mounted", marks=needs_root)]
)
def test_a_checkout_that_cannot_be_written_is_refused_in_one_line(how: str) -> None:
    # Not in a folder of the run's own, which an ordinary user can't enter.
    folder = Path("/var/tmp") / f"millrace-closed-{os.getpid()}"  # noqa: S108 - nobody else writes there
    folder.mkdir(mode=0o755)
    try:
        shutil.copy(ROOT / "Makefile", folder)
        make = ["make", "-s", "-C", str(folder), "up"]
        nobody = pwd.getpwnam("nobody")
        if how == "another's":
            change = [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
            make = ["setpriv", *change, *make]
        else:
            mount = f'mount --bind "{folder}" "{folder}" && mount -o remount,bind,ro "{folder}"'
            if _run(["unshare", "--mount", "sh", "-c", mount], ROOT).returncode:
                pytest.skip("Nothing can be mounted here.")
            make = ["unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh", *make]
        done = _run(make, ROOT)
        assert done.returncode != 0
        refusal, *rest = done.stderr.splitlines()
        assert refusal.startswith(f"{folder} can't be written by ")
        # Make's own word that a recipe failed.
        assert len(rest) == 1, rest
        assert re.match(r"make(\[\d+\])?: \*\*\*", rest[0]), rest
        assert [one.name for one in folder.iterdir()] == ["Makefile"]
    finally:
        shutil.rmtree(folder)


@needs_root
@pytest.mark.parametrize("command", [["manage.py", "check"], ["-m", "millrace.embedded", "up"]])
def test_a_home_that_cannot_be_written_is_refused_in_one_line(command: list[str]) -> None:
    """By commands that go past make, too. The interpreter may be in a folder of root's own."""
    nobody = pwd.getpwnam("nobody")
    change = [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
    passing = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    home = "MILLRACE_HOME=/var/lib/millrace-of-another"
    python = str(ROOT / ".venv" / "bin" / "python")
    whole = ["setpriv", *change, *passing, "env", home, python, "-W", "ignore", *command]
    done = _run(whole, ROOT)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "can't be written (Permission denied)" in line
