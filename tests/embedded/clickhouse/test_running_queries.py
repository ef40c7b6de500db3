"""Running queries by their clients' ids: found, killed, and watched for clients that leave."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack
from typing import Any

import pytest

from millrace.embedded.clickhouse.errors import EngineError, refuse
from millrace.embedded.clickhouse.running_queries import Process, Processes, Watcher


class FakeConnection:
    """Finds the engine's id of a thread; notes what is run."""

    def __init__(self) -> None:
        self.ids: dict[str, str] = {}
        self.asked: list[dict[str, str]] = []
        self.statements: list[str] = []
        self.meanwhile: Any = lambda: None

    def text(self, sql: str, parameters: dict[str, str]) -> str:
        self.asked.append(dict(parameters))
        self.meanwhile()
        return self.ids.get(parameters["thread"], "")

    def run(self, sql: str) -> None:
        if "refused" in sql:
            raise refuse(36, "refused")
        self.statements.append(sql)


@pytest.fixture
def connection() -> FakeConnection:
    return FakeConnection()


@pytest.fixture
def processes(connection: Any) -> Processes:
    return Processes(connection)


def test_an_id_is_taken_only_while_its_query_runs(processes: Processes) -> None:
    with processes.running(Process("q", "a", 1)):
        with pytest.raises(EngineError, match="id = q is already running") as refused:  # noqa: SIM117
            with processes.running(Process("q", "b", 2)):
                raise AssertionError
        assert refused.value.code == 216
        # The one that was refused has not taken the first one's place, nor its entry.
        with pytest.raises(EngineError), processes.running(Process("q", "b", 2)):
            raise AssertionError
    with pytest.raises(ValueError, match="failed"), processes.running(Process("q", "a", 1)):
        raise ValueError("failed")
    with processes.running(Process("q", "a", 1)):
        pass


def test_a_kill_names_the_engines_id_of_a_query_that_runs(
    processes: Processes, connection: FakeConnection
) -> None:
    connection.ids = {"1": "engine-1\nengine-2"}
    sql = "KILL QUERY WHERE query_id IN ('q', 'x', 'it\\'s') SYNC"
    with processes.running(Process("q", "a", 1)):
        translated = processes.translate(sql)
    assert translated == "KILL QUERY WHERE query_id IN ('engine-1', 'x', 'it\\'s') SYNC"
    assert processes.translate(sql) == sql
    assert len(connection.asked) == 1


def test_a_query_that_the_engine_does_not_know_yet_keeps_its_id(processes: Processes) -> None:
    with processes.running(Process("q", "a", 1)):
        assert processes.translate("KILL QUERY WHERE query_id = 'q'").endswith("'q'")


@pytest.mark.parametrize(
    ("query_id", "mark"), [("a-1", "/* id a-1 */"), ("a*/ DROP\\\n", "/* id a/DROP */")]
)
def test_an_id_cannot_end_the_comment_that_it_is_in(query_id: str, mark: str) -> None:
    assert Process(query_id, "a", 1).mark == mark


def test_a_running_query_is_killed_by_its_thread_or_its_mark(
    processes: Processes, connection: FakeConnection
) -> None:
    connection.ids = {"1": "engine-1"}
    process = Process("q", "a", 1)
    with processes.running(process):
        processes.kill(process)
    assert connection.asked == [{"thread": "1", "mark": "/* id q */"}]
    assert connection.statements == ["KILL QUERY WHERE query_id = 'engine-1' ASYNC"]


def test_a_query_that_has_ended_takes_no_other_with_it(
    processes: Processes, connection: FakeConnection
) -> None:
    connection.ids = {"1": "engine-1"}
    first, second = Process("q", "a", 1), Process("q", "b", 1)
    running, following = processes.running(first), processes.running(second)
    running.__enter__()

    def next_request() -> None:
        # Its thread serves another request, under the same id even.
        running.__exit__(None, None, None)
        following.__enter__()

    connection.meanwhile = next_request
    processes.kill(first)
    assert connection.statements == []


def test_a_query_that_is_not_in_the_engine_or_just_ended_is_no_error(
    processes: Processes, connection: FakeConnection
) -> None:
    process = Process("q", "a", 1)
    with processes.running(process):
        processes.kill(process)
        assert connection.statements == []
        connection.ids = {"1": "refused"}
        processes.kill(process)


def test_all_queries_are_killed_at_the_end(
    processes: Processes, connection: FakeConnection
) -> None:
    connection.ids = {"1": "engine-1", "2": "engine-2"}
    with processes.running(Process("q", "a", 1)), processes.running(Process("r", "b", 2)):
        processes.kill_all()
    assert len(connection.statements) == 2


class Kills:
    """In place of the processes: notes which query is killed."""

    def __init__(self) -> None:
        self.killed: list[str] = []
        self.one = threading.Event()

    def kill(self, process: Process) -> None:
        self.killed.append(process.query_id)
        self.one.set()


def test_only_a_client_that_hangs_up_while_its_query_runs_ends_it() -> None:
    kills: Any = Kills()
    watcher = Watcher(kills)
    pairs = {name: socket.socketpair() for name in ("ended", "sends", "leaves")}
    with ExitStack() as stack:
        for number, (name, (client, served)) in enumerate(pairs.items()):
            stack.enter_context(client)
            stack.enter_context(served)
            watcher.watch(served, Process(name, "a", number))
        watcher.forget(pairs["ended"][1])
        watcher.forget(pairs["ended"][1])  # it may have been forgotten already
        pairs["ended"][0].close()
        pairs["sends"][0].sendall(b"the next request")
        pairs["leaves"][0].close()
        # What happened first would be reported first.
        assert kills.one.wait(120)
        assert kills.killed == ["leaves"]
        for _, served in pairs.values():
            watcher.forget(served)
        assert watcher._watched == {}
