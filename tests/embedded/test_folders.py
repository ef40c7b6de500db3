"""Services start where people put the project: closed folders, odd names, long paths."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from millrace.embedded import postgres
from millrace.embedded.rabbitmq import RabbitMQ
from millrace.embedded.stack import SERVICES, Stack

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_ODD = "x y/Größe проба, 100% #1; $HOME & co"
# A Unix socket's path ends at 108 bytes.
_LONG = "/".join(["a-folder-with-a-long-name"] * 8)
#: Someone with an entry in the system's list of users who is neither root nor PostgreSQL's user.
_ORDINARY = "daemon"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="Only root can be someone else.")

#: The barest locale; Python 3.11 does not start in it from a folder with other letters than ASCII.
LOCALE = "C" if str(ROOT).isascii() else "C.UTF-8"


class Cli:
    """``python -m millrace.embedded`` on a home, by some user, in the plainest of locales."""

    def __init__(self, home: Path, user: tuple[str, ...] = ()) -> None:
        self.home, self._user = home, user

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._user, sys.executable, "-m", "millrace.embedded", *arguments],
            env=os.environ | {"MILLRACE_HOME": str(self.home), "LC_ALL": LOCALE},
            cwd=ROOT,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )


def _services(home: Path) -> tuple[str, ...]:
    missing = RabbitMQ(home).why_unavailable() is not None
    return tuple(name for name in SERVICES if not (name == "rabbitmq" and missing))


def _as(name: str) -> tuple[str, ...]:
    """Runs a command as another user, who may pass closed folders: the interpreter is in one."""
    user = pwd.getpwnam(name)
    return (
        *("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"),
        *("--securebits=+no_setuid_fixup", "--inh-caps=+dac_read_search"),
        "--ambient-caps=+dac_read_search",
    )


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A folder that its owner alone can enter."""
    made = tmp_path / "closed"
    made.mkdir(mode=0o700)
    yield made
    assert made.stat().st_mode & 0o777 == 0o700


def test_all_services_start_for_an_ordinary_user(closed: Path) -> None:
    """In an odd, long path. ``test_first_command`` starts all as root, in an odd, short one."""
    home = closed / _ODD / _LONG / ".millrace"
    home.parent.mkdir(parents=True)
    cli = Cli(home)
    if os.geteuid() == 0:
        for one in (closed, *closed.rglob("*")):
            shutil.chown(one, _ORDINARY)
        cli = Cli(home, _as(_ORDINARY))
    try:
        up = cli.run("up", "--detach", "--only", ",".join(_services(home)))
        assert up.returncode == 0, up.stdout + up.stderr
        assert cli.run("status").returncode == 0
        assert cli.run("down").returncode == 0
    finally:
        Stack(home).stop()
    assert (home / "kafka" / "data" / "meta.properties").exists()
    assert (home / "clickhouse" / "data").is_dir()
    assert (home / "secrets.json").stat().st_mode & 0o077 == 0


def test_quotation_marks_are_no_obstacle_except_to_rabbitmq(closed: Path) -> None:
    """Root starts these, which makes a difference to PostgreSQL: it runs as another user."""
    home = closed / _ODD / 'it\'s a so-called "home"' / ".millrace"
    with Stack(home, ("postgres", "clickhouse", "valkey", "kafka")) as stack:
        assert set(map(stack.states().get, stack.names)) == {"RUNNING"}
    assert "quotation mark" in (RabbitMQ(home).why_unavailable() or "")


@needs_root
def test_postgres_starts_from_programs_in_a_closed_folder(
    closed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = postgres._binary("initdb").parents[2]
    # Its libraries are beside it, and found from there.
    for one in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(one, closed / one.name)
    programs = closed / package.name / "pginstall" / "bin"
    monkeypatch.setattr(postgres, "_binary", lambda name: programs / name)
    with (
        Stack(closed / "home", ("postgres",)) as stack,
        psycopg.connect(stack.urls["DATABASE_URL"]) as link,
    ):
        assert link.execute("SELECT 1").fetchone() == (1,)
