"""What a stack starts, waits for and stops, and in which order; nothing is started here."""

from __future__ import annotations

import threading
import xmlrpc.client
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from millrace.embedded import ports, processes, stack
from millrace.embedded.component import Component, NotReady, Program
from millrace.embedded.errors import DidNotStart, Unavailable
from millrace.embedded.stack import NAMES, Stack


class FakeSupervisor:
    """Programs and their states in memory; it is its own ``rpc``, and notes every call."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.pid: int | None = 7
        self.calls: list[str] = []
        self.state: dict[str, str] = {"supervised": "STOPPED"}
        #: The state of a program once it was asked to start, where it is not RUNNING.
        self.becomes: dict[str, str] = {}
        self.faults: dict[str, str] = {}
        self._lock = threading.Lock()

    @property
    def rpc(self) -> FakeSupervisor:
        return self

    def states(self) -> dict[str, dict[str, Any]]:
        if self.pid is None:
            return {}
        return {name: {"statename": state, "pid": 9} for name, state in self.state.items()}

    def configure(self, programs: list[Program]) -> None:
        self.calls.append("configure")

    def launch(self) -> None:
        self.calls.append("launch")
        self.pid = 8

    def startProcess(self, name: str, wait: bool) -> None:  # noqa: N802 - supervisord's name
        with self._lock:
            self.calls.append(f"start {name}")
            if name in self.faults:
                raise xmlrpc.client.Fault(1, self.faults[name])
            self.state[name] = self.becomes.get(name, "RUNNING")

    def stopProcess(self, name: str, wait: bool) -> None:  # noqa: N802 - supervisord's name
        self.calls.append(f"stop {name}")
        if name in self.faults:
            raise xmlrpc.client.Fault(1, self.faults[name])
        self.state[name] = "STOPPED"

    def shut_down(self) -> None:
        self.calls.append("shut down")

    def log(self, name: str) -> Path:
        return self.home / "logs" / f"{name}.log"


class FakeComponent(Component):
    """A component of any name, whose check answers at once unless told otherwise."""

    checks: dict[str, Callable[[], None]] = {}
    reasons: dict[str, str] = {}
    noted: list[str] = []

    def __init__(self, name: str, home: Path) -> None:
        self.name = name  # type: ignore[misc]
        self.ports = (name,) if name in stack.SERVICES else ()  # type: ignore[misc]
        super().__init__(home)

    def why_unavailable(self) -> str | None:
        return self.reasons.get(self.name)

    def prepare(self) -> None:
        self.noted.append(f"prepare {self.name}")

    def complete(self) -> None:
        self.noted.append(f"complete {self.name}")

    def programs(self) -> tuple[Program, ...]:
        names = ("epmd", "rabbitmq") if self.name == "rabbitmq" else (self.name,)
        return tuple(Program(name, ("true",), self.home) for name in names)

    def check(self) -> None:
        self.checks.get(self.name, lambda: None)()


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """The names of ports that were looked at, whether another process has them."""
    looked: list[set[str]] = []
    monkeypatch.setattr(ports, "replace_taken", lambda home, names: looked.append(set(names)))
    return looked


@pytest.fixture
def made(tmp_path: Path, replaced: list[set[str]], monkeypatch: pytest.MonkeyPatch) -> Stack:
    for name, empty in (("checks", {}), ("reasons", {}), ("noted", [])):
        monkeypatch.setattr(FakeComponent, name, empty)
    monkeypatch.setattr(stack, "Supervisor", FakeSupervisor)
    monkeypatch.setattr(stack, "_component", FakeComponent)
    monkeypatch.setattr(stack, "_POLL_SECONDS", 0.001)
    monkeypatch.setattr(processes, "of", lambda home: ["leftover"])
    monkeypatch.setattr(processes, "end", lambda running: None)
    return Stack(tmp_path / "home")


def _supervisor(made: Stack) -> FakeSupervisor:
    supervisor = made._supervisor
    assert isinstance(supervisor, FakeSupervisor)
    return supervisor


def _started(made: Stack) -> list[str]:
    calls = _supervisor(made).calls
    return [call.removeprefix("start ") for call in calls if call.startswith("start ")]


def test_an_unknown_name_is_refused_and_known_ones_are_put_in_order(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Unknown: mysql"):
        Stack(tmp_path, ["mysql", "kafka"])
    assert Stack(tmp_path, ["beat", "kafka", "postgres"]).names == ("postgres", "kafka", "beat")


def test_millraces_processes_start_once_all_services_serve(made: Stack) -> None:
    waits = iter([NotReady(), NotReady(), OSError()])

    def slow() -> None:
        error = next(waits, None)
        if error is not None:
            assert "start web" not in _supervisor(made).calls
            raise error

    FakeComponent.checks["postgres"] = slow
    made.start(["web", "postgres", "valkey"])
    started = _started(made)
    assert set(started[:2]) == {"postgres", "valkey"}
    assert started[2:] == ["web"]
    noted = FakeComponent.noted
    assert noted.index("prepare postgres") < noted.index("complete postgres")
    assert noted.index("complete postgres") < noted.index("prepare web")


def test_what_runs_is_only_waited_for_and_keeps_its_port(
    made: Stack, replaced: list[set[str]]
) -> None:
    supervisor = _supervisor(made)
    for name, state in (("postgres", "RUNNING"), ("valkey", "BACKOFF"), ("kafka", "EXITED")):
        supervisor.state[name] = state
    asked: list[str] = []
    for name in ("postgres", "valkey"):
        FakeComponent.checks[name] = lambda name=name: asked.append(name)  # type: ignore[misc]
    made.start(["postgres", "valkey", "kafka"])
    assert _started(made) == ["kafka"]
    assert FakeComponent.noted == ["prepare kafka", "complete kafka"]
    assert sorted(asked) == ["postgres", "valkey"]
    assert replaced == [{"kafka"}]


def test_a_component_runs_only_if_all_its_programs_do(made: Stack) -> None:
    supervisor = _supervisor(made)
    supervisor.state |= {"rabbitmq": "RUNNING", "epmd": "FATAL"}
    supervisor.faults["rabbitmq"] = "ALREADY_STARTED: rabbitmq"
    made.start(["rabbitmq"])
    assert _started(made) == ["epmd", "rabbitmq"]


def test_a_helper_starts_before_the_program_that_serves(made: Stack) -> None:
    made.start(["rabbitmq"])
    assert _started(made) == ["epmd", "rabbitmq"]


def test_one_component_that_cannot_run_here_keeps_all_from_starting(made: Stack) -> None:
    FakeComponent.reasons["rabbitmq"] = "RabbitMQ is not installed."
    with pytest.raises(Unavailable, match="not installed"):
        made.start(["postgres", "rabbitmq"])
    assert _supervisor(made).calls == []


def test_supervisord_is_launched_only_if_none_answers(
    made: Stack, replaced: list[set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor, ended = _supervisor(made), []
    monkeypatch.setattr(processes, "end", ended.append)
    made.start(["valkey"])
    assert "launch" not in supervisor.calls
    assert ended == []
    supervisor.pid = None
    made.start(["valkey"])
    # Leftovers end first; then nothing runs, so that every port may be replaced.
    assert ended == [["leftover"]]
    assert replaced[-2] == set(ports.NAMES)
    assert supervisor.calls.index("configure") < supervisor.calls.index("launch")


def test_a_program_that_supervisord_has_given_up_is_reported_with_its_log(made: Stack) -> None:
    supervisor = _supervisor(made)
    supervisor.becomes["valkey"] = "FATAL"
    log = supervisor.log("valkey")
    log.parent.mkdir(parents=True)
    log.write_text("bad directive\n")
    with pytest.raises(DidNotStart, match=r"valkey is not ready \(FATAL; None\)[\s\S]*bad direct"):
        made.start(["valkey"])


def test_a_component_that_never_serves_is_given_up(
    made: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise NotReady("still loading")

    FakeComponent.checks["valkey"] = refuse
    monkeypatch.setattr(FakeComponent, "start_seconds", 0.02)
    with pytest.raises(DidNotStart, match=r"not ready \(RUNNING; still loading\)"):
        made.start(["valkey"])


def test_a_process_without_a_port_is_ready_only_once_supervisord_says_so(made: Stack) -> None:
    supervisor = _supervisor(made)
    supervisor.becomes = {"beat": "STARTING", "valkey": "STARTING"}
    checks = 0

    def check() -> None:
        nonlocal checks
        checks += 1
        if checks == 3:
            supervisor.state["beat"] = "RUNNING"

    FakeComponent.checks["beat"] = check
    made.start(["valkey", "beat"])
    assert checks == 4
    # Whoever answers on its port serves, whatever supervisord says yet.
    assert supervisor.state["valkey"] == "STARTING"


def test_a_start_that_supervisord_refuses_is_reported(made: Stack) -> None:
    _supervisor(made).faults["valkey"] = "NO_FILE: /bin/none"
    with pytest.raises(DidNotStart, match="valkey can't be started: NO_FILE"):
        made.start(["valkey"])


def test_the_first_failure_ends_the_wait_for_the_others(made: Stack) -> None:
    def refuse() -> None:
        raise NotReady

    _supervisor(made).faults["postgres"] = "NO_FILE"
    FakeComponent.checks["valkey"] = refuse
    with pytest.raises(DidNotStart, match="postgres can't be started"):
        made.start(["postgres", "valkey"])


def test_after_a_failed_start_the_same_stack_can_start(made: Stack) -> None:
    """It said ever after that another component had failed."""
    _supervisor(made).faults["valkey"] = "NO_FILE"
    with pytest.raises(DidNotStart):
        made.start(["valkey"])
    del _supervisor(made).faults["valkey"]
    made.start(["valkey"])
    assert _supervisor(made).state["valkey"] == "RUNNING"
    made.wait("valkey")


def test_all_stop_before_what_they_use_and_epmd_after_the_broker(made: Stack) -> None:
    supervisor = _supervisor(made)
    made.start()
    supervisor.calls.clear()
    supervisor.state["kafka"] = "EXITED"
    made.stop()
    stopped = [call.removeprefix("stop ") for call in supervisor.calls[:-1]]
    own = len(stack.PROCESSES)
    assert set(stopped[:own]) == set(stack.PROCESSES)
    assert set(stopped[own:-1]) == {"postgres", "clickhouse", "valkey", "rabbitmq"}
    assert stopped[-1] == "epmd"
    assert supervisor.calls[-1] == "shut down"
    made.start(["valkey"])  # and may start again


def test_stopping_waits_until_the_program_has_ended(made: Stack) -> None:
    supervisor = _supervisor(made)
    made.start(["valkey"])
    looks = 0

    def states() -> dict[str, dict[str, Any]]:
        nonlocal looks
        looks += 1
        state = "STOPPED" if looks > 4 else "STOPPING"
        return {"valkey": {"statename": state}}

    supervisor.states = states  # type: ignore[method-assign]
    made.halt("valkey")
    assert looks > 4


def test_a_program_that_ends_by_itself_meanwhile_does_not_keep_others_from_stopping(
    made: Stack,
) -> None:
    supervisor = _supervisor(made)
    made.start(["valkey", "postgres"])
    supervisor.faults["valkey"] = "NOT_RUNNING"

    def ended() -> dict[str, dict[str, Any]]:
        has_stopped = "stop valkey" in supervisor.calls
        state = {"valkey": "EXITED" if has_stopped else "RUNNING"} | {
            "postgres": supervisor.state["postgres"]
        }
        return {name: {"statename": value} for name, value in state.items()}

    supervisor.states = ended  # type: ignore[method-assign]
    made.halt("valkey", "postgres")
    assert supervisor.state["postgres"] == "STOPPED"


def test_a_restart_stops_first_and_touches_no_other(made: Stack) -> None:
    supervisor = _supervisor(made)
    made.start(["valkey", "postgres"])
    supervisor.calls.clear()
    made.restart("valkey")
    assert [call for call in supervisor.calls if call != "configure"] == [
        "stop valkey",
        "start valkey",
    ]


def test_a_component_that_does_not_run_has_no_process_id(made: Stack) -> None:
    supervisor = _supervisor(made)
    made.start(["valkey"])
    assert made.pid("valkey") == 9
    assert made.pid("kafka") is None
    supervisor.states = lambda: {"valkey": {"statename": "STOPPED", "pid": 0}}  # type: ignore[method-assign]
    assert made.pid("valkey") is None


def test_a_with_block_stops_all_even_if_its_start_fails(made: Stack) -> None:
    _supervisor(made).faults["postgres"] = "NO_FILE"
    with pytest.raises(DidNotStart), made:
        raise AssertionError
    assert _supervisor(made).calls[-1] == "shut down"


def test_every_component_has_a_class_of_its_name(tmp_path: Path) -> None:
    for name in NAMES:
        if name == "kafka":
            continue  # a second to import
        assert stack._component(name, tmp_path).name == name
