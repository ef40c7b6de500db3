"""The command line of the embedded services: what runs, in which order, and the exit codes."""

from __future__ import annotations

import argparse
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from millrace.embedded import cli, missing_services, ports
from millrace.embedded.errors import DidNotStart, Unavailable
from millrace.embedded.stack import PROCESSES


class FakeStack:
    """Notes what is asked of it. ``failure`` is what a start raises."""

    calls: list[str] = []
    failure: BaseException | None = None
    state: dict[str, str] = {}
    urls = {"WEB_URL": "http://127.0.0.1:1", "RABBITMQ_URL": "amqp://127.0.0.1:2"}

    def __init__(self, home: Path, names: tuple[str, ...] = ()) -> None:
        self.home, self.names = home, names
        self.supervisor_pid: int | None = None

    def start(self, names: list[str]) -> None:
        if names:
            self.calls.append(f"start {' '.join(names)}")
        if self.failure is not None:
            raise self.failure

    def stop(self) -> None:
        self.calls.append("stop")

    def states(self) -> dict[str, str]:
        return self.state

    def pid(self, name: str) -> int | None:
        return 9 if self.state.get(name) == "RUNNING" else None


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the stack was asked, and whether the database was migrated."""
    monkeypatch.setenv("MILLRACE_HOME", str(tmp_path))
    monkeypatch.setattr(FakeStack, "calls", noted := [])
    monkeypatch.setattr(FakeStack, "failure", None)
    monkeypatch.setattr(FakeStack, "state", {})
    monkeypatch.setattr(cli, "Stack", FakeStack)
    monkeypatch.setattr(cli, "install", lambda home: noted.append("install"))
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    return noted


def test_all_services_start_then_the_migrations_run_then_millraces_processes(
    calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "everything", lambda: ("postgres", "valkey", "web", "beat"))
    assert cli.main(["up", "--detach"]) == 0
    assert calls == ["start postgres valkey", "install", "start web beat"]


def test_a_start_of_some_does_not_migrate(calls: list[str]) -> None:
    assert cli.main(["up", "--detach", "--only", "valkey, web"]) == 0
    assert calls == ["start valkey", "start web"]


def test_an_unknown_name_is_refused_with_those_to_choose_from(
    calls: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="unknown: mysql"):
        cli._names("kafka,mysql")
    with pytest.raises(SystemExit):
        cli.main(["up", "--only", "mysql"])
    assert "postgres, clickhouse" in capsys.readouterr().err
    assert calls == []


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (DidNotStart("valkey is not ready"), 1),
        (Unavailable("not here"), 1),
        (ports.NoFreePort("none"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_a_start_that_fails_or_is_interrupted_stops_all(
    calls: list[str],
    failure: BaseException,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(FakeStack, "failure", failure)
    assert cli.main(["up", "--detach", "--only", "valkey"]) == code
    assert calls == ["start valkey", "stop"]
    assert str(failure) in capsys.readouterr().err


def test_who_stays_stops_all_once_supervisord_has_ended(
    calls: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pids = iter([7, 7, None])
    monkeypatch.setattr(cli.time, "sleep", lambda seconds: None)  # type: ignore[attr-defined]
    monkeypatch.setattr(
        FakeStack,
        "supervisor_pid",
        property(lambda self: next(pids), lambda self, value: None),
        raising=False,
    )
    assert cli.main(["up", "--only", "valkey"]) == 1
    assert calls == ["start valkey", "stop"]
    assert "supervisord ended" in capsys.readouterr().err
    assert next(pids, "none left") == "none left"


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ({}, 3),
        ({"web": "RUNNING", "beat": "STOPPED"}, 0),
        ({"web": "RUNNING", "beat": "FATAL"}, 1),
        ({"web": "STARTING"}, 1),
    ],
)
def test_the_status_says_by_its_exit_code_whether_all_is_well(
    calls: list[str], state: dict[str, str], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeStack, "state", state)
    assert cli.main(["status"]) == code


def test_the_status_shows_the_first_password_only_while_the_web_server_runs(
    calls: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(FakeStack, "state", {"valkey": "RUNNING", "web": "STOPPED"})
    cli.main(["status"])
    shown = capsys.readouterr().out
    assert "valkey" in shown
    assert "web" not in shown
    assert "password" not in shown
    monkeypatch.setattr(FakeStack, "state", {"web": "RUNNING"})
    cli.main(["status"])
    assert "first password" in capsys.readouterr().out


def test_what_has_a_url_of_its_own_does_not_run_here(
    calls: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reasons = [None, "RabbitMQ is not installed.", "RabbitMQ is not installed."]

    def why_unavailable(self: Any) -> str | None:
        return reasons.pop(0)

    services = iter([("valkey", "rabbitmq"), ("valkey", "rabbitmq"), ("valkey",)])
    monkeypatch.setattr(missing_services, "services", lambda variables: next(services))
    monkeypatch.setattr(cli.RabbitMQ, "why_unavailable", why_unavailable)
    assert cli.everything() == ("valkey", "rabbitmq", *PROCESSES)
    assert capsys.readouterr().out == ""
    assert cli.everything() == ("valkey", *PROCESSES)
    assert "not installed. Continuing without it." in capsys.readouterr().out
    # With a RabbitMQ elsewhere, nobody needs to know that there is none here.
    assert cli.everything() == ("valkey", *PROCESSES)
    assert capsys.readouterr().out == ""


def test_the_shells_variables_do_not_replace_the_services_that_run(
    calls: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["env"]) == 0
    names = {line.split("=")[0] for line in capsys.readouterr().out.splitlines()}
    assert names == {
        "export MILLRACE_URL",
        "export KAFKA_ADDRESSES",
        "export RABBITMQ_ADDRESSES",
        "export RABBITMQ_USERNAME",
        "export RABBITMQ_PASSWORD",
    }


def test_a_log_that_is_not_there_yet_is_an_error_and_another_is_followed(
    calls: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], check: bool) -> Any:
        commands.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    assert cli.main(["logs", "kafka"]) == 1
    assert commands == []
    log = tmp_path / "logs" / "kafka.log"
    log.parent.mkdir()
    log.touch()
    assert cli.main(["logs", "kafka"]) == 0
    assert commands[0][-1] == str(log)
