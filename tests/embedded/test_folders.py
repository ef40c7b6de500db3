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

_FOLDERS = {
    "plain": "plain",
    "odd": "x y/Größe проба, 100% #1; $HOME & co",
    # A Unix socket's path ends at 108 bytes.
    "long": "/".join(["a-folder-with-a-long-name"] * 8),
}
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


@pytest.fixture(params=_FOLDERS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder that its owner alone can enter."""
    made = tmp_path / "closed" / _FOLDERS[request.param]
    made.mkdir(parents=True)
    (tmp_path / "closed").chmod(0o700)
    yield made
    Stack(made / ".millrace").stop()


def test_all_services_start(folder: Path) -> None:
    _starts(Cli(folder / ".millrace"))


@needs_root
@pytest.mark.parametrize("folder", ["odd"], indirect=True)
def test_all_services_start_for_an_ordinary_user(folder: Path) -> None:
    for one in (folder, *folder.parents):
        shutil.chown(one, _ORDINARY)
        if one.name == "closed":
            break
    _starts(Cli(folder / ".millrace", _as(_ORDINARY)))


def _starts(cli: Cli) -> None:
    """All that this machine has, with what a start leaves where it belongs."""
    up = cli.run("up", "--detach", "--only", ",".join(_services(cli.home)))
    assert up.returncode == 0, up.stdout + up.stderr
    assert cli.run("status").returncode == 0
    assert cli.run("down").returncode == 0
    assert (cli.home / "kafka" / "data" / "meta.properties").exists()
    assert (cli.home / "clickhouse" / "data").is_dir()
    closed = next(one for one in cli.home.parents if one.name == "closed")
    assert closed.stat().st_mode & 0o777 == 0o700
    secret = cli.home / "secrets.json"
    assert secret.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", ["it's", 'so-called "home"'])
def test_quotation_marks_are_no_obstacle_except_to_rabbitmq(name: str, tmp_path: Path) -> None:
    home = tmp_path / name / ".millrace"
    with Stack(home, ("postgres", "clickhouse", "valkey", "kafka")) as stack:
        assert set(map(stack.states().get, stack.names)) == {"RUNNING"}
    assert "quotation mark" in (RabbitMQ(home).why_unavailable() or "")


@needs_root
def test_postgres_starts_from_programs_in_a_closed_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
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
    assert closed.stat().st_mode & 0o777 == 0o700
