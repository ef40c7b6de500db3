from __future__ import annotations

import ast
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from celery import Celery
from kombu import Connection
from kombu.exceptions import OperationalError

import ingestion.tasks  # noqa: F401 - registers its tasks
import tenants.tasks  # noqa: F401 - registers its tasks
from millrace.celery import app
from tenants import task_queue

ROOT = Path(__file__).resolve().parents[2]
_OPTIONS = app.conf.broker_transport_options


def _sent() -> Iterator[str]:
    """The names of tasks that services and views ask for."""
    for folder in ("tenants", "ingestion", "analytics_api"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "send":
                    match node.args[0]:
                        case ast.Constant(value=str(name)):
                            yield name


def test_each_task_that_is_asked_for_by_name_exists() -> None:
    names = set(_sent())
    assert {"tenants.tasks.provision_warehouse", "tenants.tasks.export_tenant"} <= names
    assert names <= set(app.tasks)


def test_a_task_is_queued_with_its_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    queued = []

    def queue(*arguments: object, **options: object) -> None:
        queued.append((arguments, options))

    task = app.tasks["tenants.tasks.provision_warehouse"]
    monkeypatch.setattr(task, "apply_async", queue)
    task_queue.send(task.name, 7)
    assert queued == [(((7,), {}), {"retry": False})]


def test_a_task_that_this_process_has_not_loaded_is_queued_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queued = []

    def queue(name: str, arguments: object, *_: object, **options: object) -> None:
        queued.append((name, arguments, options))

    monkeypatch.setattr(app, "send_task", queue)
    task_queue.send("a.task.of.the.workers", 7)
    assert queued == [("a.task.of.the.workers", (7,), {"retry": False})]


def test_a_broker_that_is_down_is_noted_and_not_raised(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def down(*_: object, **__: object) -> None:
        raise OperationalError

    monkeypatch.setattr(app.tasks["tenants.tasks.provision_warehouse"], "apply_async", down)
    with caplog.at_level(logging.WARNING):
        task_queue.send("tenants.tasks.provision_warehouse", 7)
    assert "waits for the reconciler" in caplog.text


# The addresses of ``amqp://`` and of a Redis protocol are tried by other code.
@pytest.mark.parametrize("kind", ["amqp", "redis"])
def test_nobody_waits_for_a_broker_that_is_down(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request may be waiting for the answer."""
    slept: list[float] = []
    monkeypatch.setattr("kombu.utils.functional.sleep", slept.append)
    with (
        Connection(f"{kind}://127.0.0.1:1//", transport_options=_OPTIONS) as closed,
        pytest.raises(OperationalError),
    ):
        app.send_task("a.task", producer=closed.Producer(), retry=False)
    assert sum(slept) == 0


def test_each_address_of_the_broker_is_tried_once() -> None:
    assert _OPTIONS["max_retries"] == app.conf.broker_url.count(";")


@pytest.fixture(params=["rabbitmq_broker", "valkey"])
def queued_at(request: pytest.FixtureRequest, unique: Callable[[str], str]) -> Iterator[str]:
    """A task whose queue, of its own, is on a real broker that nothing reads."""
    url, name = request.getfixturevalue(request.param), unique("a.task")
    # The application that is made last is the current one.
    here = Celery("here", broker=url)
    here.conf.task_routes = {name: {"queue": name}}
    here.conf.broker_transport_options = _OPTIONS
    try:
        yield name
    finally:
        with here.connection_for_write() as link:
            link.default_channel.queue_delete(name)
        here.close()
        app.set_current()


def test_messages_that_no_worker_has_taken_are_counted(queued_at: str) -> None:
    assert task_queue.unread(queued_at) == 0  # there is no such queue yet
    task_queue.send(queued_at, 1)
    task_queue.send(queued_at, 2)
    assert _soon(lambda: task_queue.unread(queued_at) == 2)


@pytest.mark.parametrize("queued_at", ["rabbitmq_broker"], indirect=True)
def test_what_is_to_expire_leaves_rabbitmq_without_a_worker(queued_at: str) -> None:
    for number in range(5):
        task_queue.send(queued_at, number, expires=5)
    assert _soon(lambda: task_queue.unread(queued_at) == 5)
    assert _soon(lambda: task_queue.unread(queued_at) == 0)


def _soon(holds: Callable[[], bool]) -> bool:
    until = time.monotonic() + 30
    while not (is_so := holds()) and time.monotonic() < until:
        time.sleep(0.1)
    return is_so


@pytest.mark.parametrize("kind", ["amqp", "redis"])
def test_a_broker_that_is_down_has_no_count(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = Connection(f"{kind}://127.0.0.1:1//", transport_options=_OPTIONS)
    monkeypatch.setattr(app, "connection_for_write", lambda: closed)
    assert task_queue.unread("ingestion.tasks.run_backfill") is None


def test_what_a_reconciler_queues_expires() -> None:
    """It runs every ten seconds, whether a worker reads the queue or not."""
    files = [ROOT / "tenants" / "tasks.py", *(ROOT / "ingestion").rglob("*.py")]
    trees = {str(file): ast.parse(file.read_text()) for file in files}
    in_loops = [
        (name, call.lineno, "expires" in [keyword.arg for keyword in call.keywords])
        for name, tree in trees.items()
        for loop in ast.walk(tree)
        if isinstance(loop, ast.For)
        for call in ast.walk(loop)
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "send"
    ]
    assert len(in_loops) >= 4
    assert [place for *place, expires in in_loops if not expires] == []
