"""supervisord's configuration, and what is believed about a supervisord that may not run."""

from __future__ import annotations

import configparser
import os
import shlex
import signal
import stat
import subprocess
import sys
import xmlrpc.client
from pathlib import Path
from typing import Any

import pytest

from millrace.embedded import installation_secrets, ports, processes, supervision
from millrace.embedded.component import Program
from millrace.embedded.errors import DidNotStart
from millrace.embedded.supervision import Supervisor, tail


class FakeRpc:
    """Notes calls; ``reload`` is what reloadConfig answers, ``running`` what can't be removed."""

    def __init__(self, reload: tuple[list[str], list[str], list[str]], running: str = "") -> None:
        self._reload, self._running = reload, running
        self.calls: list[tuple[str, str]] = []

    def reloadConfig(self) -> list[Any]:  # noqa: N802 - supervisord's name
        return [self._reload]

    def removeProcessGroup(self, name: str) -> None:  # noqa: N802 - supervisord's name
        if name == self._running:
            raise xmlrpc.client.Fault(91, "STILL_RUNNING")
        self.calls.append(("remove", name))

    def addProcessGroup(self, name: str) -> None:  # noqa: N802 - supervisord's name
        self.calls.append(("add", name))


@pytest.fixture
def supervisor(tmp_path: Path) -> Supervisor:
    return Supervisor(tmp_path / "home")


def _runs(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, pid: int = 4711) -> None:
    """Leave what a running supervisord leaves."""
    supervisor._pid_file.parent.mkdir(parents=True, exist_ok=True)
    supervisor._pid_file.write_text(f"{pid}\n")
    monkeypatch.setattr(processes, "belongs", lambda number, home: number == pid)


def _configuration(supervisor: Supervisor) -> configparser.RawConfigParser:
    parsed = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"))
    parsed.read_string(supervisor._config.read_text())
    return parsed


def test_it_listens_on_loopback_with_a_password_in_a_file_for_the_owner_alone(
    supervisor: Supervisor,
) -> None:
    supervisor.configure([])
    server = _configuration(supervisor)["inet_http_server"]
    assert server["port"] == f"127.0.0.1:{ports.read(supervisor.home)['supervisor']}"
    assert server["password"] == installation_secrets.read(supervisor.home)["supervisor"]
    assert stat.S_IMODE(supervisor._config.stat().st_mode) == 0o600


@pytest.mark.parametrize(("uid", "user"), [(0, "root"), (1000, None)])
def test_only_root_names_its_user(
    supervisor: Supervisor, uid: int, user: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    supervisor.configure([])
    assert _configuration(supervisor)["supervisord"].get("user") == user


def test_programs_stop_in_the_reverse_of_their_order_and_as_each_says(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    first = Program("first", ("a",), tmp_path, stop_signal="INT", stop_seconds=20)
    supervisor.configure([first, Program("second", ("b",), tmp_path)])
    parsed = _configuration(supervisor)
    one, two = parsed["program:first"], parsed["program:second"]
    assert int(one["priority"]) < int(two["priority"])
    assert (one["stopsignal"], one["stopwaitsecs"]) == ("INT", "20")
    assert (two["stopsignal"], two["stopwaitsecs"]) == ("TERM", "10")
    # A stack starts programs itself, and only those that it was asked for.
    assert one["autostart"] == "false"
    assert one["autorestart"] == "true"


def test_a_program_gets_odd_paths_and_variables_unchanged(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    folder = tmp_path / 'it\'s 100% $HOME; & "x" #1'
    folder.mkdir()
    code = "import os, sys; print([os.getcwd(), os.environ['A'], *sys.argv[1:]])"
    command = (sys.executable, "-S", "-c", code, "$HOME", "a  b", "")
    odd = ("x 'y' %z",)
    supervisor.configure([Program("odd", command, folder, {"A": odd[0]})])
    line = _configuration(supervisor)["program:odd"]["command"]
    done = subprocess.run(
        shlex.split(line), cwd=supervisor.home, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{[str(folder), *odd, '$HOME', 'a  b', '']}\n"


def test_a_program_does_not_run_in_another_folder_than_its_own(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    supervisor.configure([Program("lost", ("echo", "ran"), tmp_path / "none")])
    done = subprocess.run(
        ["sh", "run/lost.sh"], cwd=supervisor.home, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode != 0) == ("", True)


def test_a_running_supervisord_takes_new_programs_and_changes_those_that_are_stopped(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    rpc = FakeRpc((["new"], ["runs", "stopped"], ["gone"]), running="runs")
    monkeypatch.setattr(Supervisor, "rpc", rpc)
    supervisor.configure([])
    assert rpc.calls == []
    _runs(supervisor, monkeypatch)
    supervisor.configure([])
    assert rpc.calls == [("remove", "stopped"), ("add", "stopped"), ("add", "new")]


def test_the_id_in_a_file_counts_only_if_that_process_is_the_installations(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert supervisor.pid is None
    _runs(supervisor, monkeypatch)
    assert supervisor.pid == 4711
    monkeypatch.setattr(processes, "belongs", lambda number, home: False)
    assert supervisor.pid is None
    supervisor._pid_file.write_text("")
    assert supervisor.pid is None


@pytest.mark.parametrize(
    "error",
    [ConnectionRefusedError(), xmlrpc.client.ProtocolError("u", 401, "no", {})],
)
def test_a_supervisord_that_does_not_answer_has_no_states(
    supervisor: Supervisor, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Rpc:
        def getAllProcessInfo(self) -> list[dict[str, Any]]:  # noqa: N802 - supervisord's name
            if answers:
                return [{"name": "a", "statename": "RUNNING"}]
            raise error

    answers = True
    monkeypatch.setattr(Supervisor, "rpc", Rpc())
    assert supervisor.states() == {}
    _runs(supervisor, monkeypatch)
    assert supervisor.states() == {"a": {"name": "a", "statename": "RUNNING"}}
    answers = False
    assert supervisor.states() == {}


def test_shutting_down_waits_until_the_process_has_ended(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    signals: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *sent: signals.append(sent))
    supervisor.shut_down()
    assert signals == []
    _runs(supervisor, monkeypatch)
    belongs = iter([True, True, False])
    monkeypatch.setattr(processes, "belongs", lambda number, home: next(belongs))
    supervisor.shut_down()
    assert signals == [(4711, signal.SIGTERM)]
    assert next(belongs, None) is None


def test_shutting_down_gives_up_a_process_that_does_not_end(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    _runs(supervisor, monkeypatch)

    def ended(*_: object) -> None:
        raise ProcessLookupError

    monkeypatch.setattr(os, "kill", ended)
    supervisor.shut_down(seconds=0)


class FakePopen:
    """In place of supervisord's process: has ended with ``code``, or runs."""

    code: int | None = None

    def __init__(self, command: list[str], **options: Any) -> None:
        assert options["start_new_session"] is True
        assert options["env"][processes.MARK] == str(options["cwd"])
        options["stdout"].write("Error: bad configuration\n")

    def poll(self) -> int | None:
        return self.code


def test_a_launch_returns_once_supervisord_answers(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "Popen", FakePopen)
    refusals = iter([ConnectionRefusedError(), ConnectionRefusedError()])

    def connect(port: int) -> None:
        assert port == ports.read(supervisor.home)["supervisor"]
        error = next(refusals, None)
        if error is not None:
            raise error
        _runs(supervisor, monkeypatch)

    monkeypatch.setattr(supervision, "connect", connect)
    supervisor.launch()
    assert next(refusals, None) is None


def test_another_process_on_the_port_is_not_taken_for_supervisord(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "Popen", FakePopen)
    monkeypatch.setattr(FakePopen, "code", 2)
    monkeypatch.setattr(supervision, "connect", lambda port: None)
    with pytest.raises(DidNotStart, match=r"did not start:\nError: bad configuration"):
        supervisor.launch()


def test_the_tail_of_a_log_has_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert tail(log) == "(it wrote nothing)"
    log.write_bytes(b"")
    assert tail(log) == "(it wrote nothing)"
    log.write_bytes(b"1\n2\xff\n3\n")
    assert tail(log, 2) == "2\N{REPLACEMENT CHARACTER}\n3"
