"""Command lines of Millrace's own processes, and when the web server counts as ready."""

from __future__ import annotations

import email.message
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from millrace.embedded import ports, service_urls
from millrace.embedded.component import NotReady, Program
from millrace.embedded.workers import BackfillWorker, Beat, DefaultWorker, IngestWorker, Web


def program(component: Any) -> Program:
    (only,) = component.programs()
    assert isinstance(only, Program)
    return only


@pytest.mark.parametrize(
    ("kind", "queue", "at_once"),
    [(IngestWorker, "ingest", 4), (DefaultWorker, "default", 2), (BackfillWorker, "backfill", 2)],
)
def test_a_worker_takes_its_own_queue_alone(
    kind: Any, queue: str, at_once: int, tmp_path: Path
) -> None:
    command = program(kind(tmp_path)).command
    assert command[:5] == (sys.executable, "-m", "celery", "--app=millrace", "worker")
    assert {f"--queues={queue}", f"--hostname={queue}@%h", f"--concurrency={at_once}"} <= set(
        command
    )
    # A slice of a stream has threads and connections, which a fork would break.
    assert "--pool=threads" in command


def test_two_workers_have_names_of_their_own(tmp_path: Path) -> None:
    names = {
        kind(tmp_path).name for kind in (Web, IngestWorker, DefaultWorker, BackfillWorker, Beat)
    }
    assert len(names) == 5


def test_beat_keeps_its_schedule_in_the_home_folder_and_no_file_of_its_process_id(
    tmp_path: Path,
) -> None:
    command = program(Beat(tmp_path)).command
    assert f"--schedule={tmp_path / 'run' / 'beat-schedule'}" in command
    # A file that a kill has left would keep it from starting.
    assert "--pidfile=" in command


def test_all_run_with_the_home_of_their_installation(tmp_path: Path) -> None:
    for kind in (Web, IngestWorker, DefaultWorker, BackfillWorker, Beat):
        environment = program(kind(tmp_path)).environment
        assert environment["MILLRACE_HOME"] == str(tmp_path)
        assert environment["DJANGO_SETTINGS_MODULE"] == "millrace.settings"


def test_they_run_in_the_checkout_or_else_in_a_folder_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    component = Beat(tmp_path / "home")
    assert program(component).directory == service_urls.project()
    monkeypatch.setattr(service_urls, "project", lambda: None)
    component.prepare()
    assert program(component).directory == tmp_path / "home" / "run"
    assert program(component).directory.is_dir()


def test_the_web_server_gets_longer_than_its_own_workers_do(tmp_path: Path) -> None:
    web = program(Web(tmp_path))
    (patience,) = [word for word in web.command if word.startswith("--workers-kill-timeout=")]
    assert web.stop_seconds > int(patience.partition("=")[2])


def test_the_web_servers_threads_are_those_that_millrace_shares_among_tenants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("MILLRACE_WEB_THREADS", "MILLRACE_WEB_WORKERS"):
        monkeypatch.delenv(variable, raising=False)
    web = program(Web(tmp_path))
    assert {"--blocking-threads=8", "--workers=2"} <= set(web.command)
    assert web.environment["MILLRACE_WEB_THREADS"] == "8"
    monkeypatch.setenv("MILLRACE_WEB_THREADS", "3")
    monkeypatch.setenv("MILLRACE_WEB_WORKERS", "5")
    web = program(Web(tmp_path))
    assert {"--blocking-threads=3", "--workers=5"} <= set(web.command)
    assert web.environment["MILLRACE_WEB_THREADS"] == "3"


def test_the_web_server_listens_on_loopback_and_speaks_http_1_alone(tmp_path: Path) -> None:
    command = program(Web(tmp_path)).command
    port = ports.read(tmp_path)["web"]
    assert {"--host=127.0.0.1", f"--port={port}", "--http=1", "--no-ws"} <= set(command)


@pytest.mark.parametrize(
    ("status", "is_ready"), [(302, True), (404, True), (499, True), (500, False), (503, False)]
)
def test_the_web_server_is_ready_unless_it_answers_an_error_of_its_own(
    status: int, is_ready: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = Web(tmp_path)

    def answer(address: str, timeout: float) -> None:
        assert address == f"http://127.0.0.1:{web.port}/admin/login/"
        raise urllib.error.HTTPError(address, status, "", email.message.Message(), None)

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    if is_ready:
        web.check()
    else:
        with pytest.raises(NotReady, match=f"answers {status}"):
            web.check()
