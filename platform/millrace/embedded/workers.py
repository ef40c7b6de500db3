"""Millrace's own processes: the web server, the Celery workers and Celery beat."""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import ClassVar

from millrace.embedded import service_urls
from millrace.embedded.component import Component, NotReady, Program


class _Process(Component):
    """A Python process that runs Django, started in the checkout or the installation's folder."""

    #: Seconds to finish its work after SIGTERM.
    grace: ClassVar[int] = 30

    def command(self) -> tuple[str, ...]:
        raise NotImplementedError

    def prepare(self) -> None:
        (self.home / "run").mkdir(parents=True, exist_ok=True)

    def environment(self) -> dict[str, str]:
        return {
            "DJANGO_SETTINGS_MODULE": "millrace.settings",
            "MILLRACE_HOME": str(self.home),
            "PYTHONUNBUFFERED": "1",
        }

    def programs(self) -> tuple[Program, ...]:
        environment = self.environment()
        command = (sys.executable, "-m", *self.command())
        folder = service_urls.project() or self.home / "run"
        return (Program(self.name, command, folder, environment, stop_seconds=self.grace),)

    def check(self) -> None:
        """Do nothing: a worker does not report readiness, so supervisord's state decides."""


class Web(_Process):
    """The web server, granian. It has few threads: those of one process compete for the GIL."""

    name = "web"
    ports = ("web",)
    grace = 35

    @property
    def threads(self) -> str:
        return os.environ.get("MILLRACE_WEB_THREADS", "8")

    def environment(self) -> dict[str, str]:
        """Include the number of granian's threads, which Millrace shares among tenants."""
        return {**super().environment(), "MILLRACE_WEB_THREADS": self.threads}

    def command(self) -> tuple[str, ...]:
        return (
            "granian",
            "--interface=wsgi",
            f"--host={service_urls.HOST}",
            f"--port={self.port}",
            f"--workers={os.environ.get('MILLRACE_WEB_WORKERS', '2')}",
            f"--blocking-threads={self.threads}",
            "--workers-kill-timeout=30",
            "--no-ws",
            # Over HTTP/2 a body may come without any header that says so (tenants.rest.body).
            "--http=1",
            "--log-level=warning",
            "millrace.wsgi:application",
        )

    def check(self) -> None:
        """Raise NotReady or OSError unless the login page answers without a server error."""
        address = f"http://{service_urls.HOST}:{self.port}/admin/login/"
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except urllib.error.HTTPError as error:
            if error.code >= 500:
                raise NotReady(f"{address} answers {error.code}") from error


class _Worker(_Process):
    queue: ClassVar[str]
    concurrency: ClassVar[int] = 4

    def command(self) -> tuple[str, ...]:
        return (
            "celery",
            "--app=millrace",
            "worker",
            f"--queues={self.queue}",
            f"--hostname={self.queue}@%h",
            "--pool=threads",
            f"--concurrency={self.concurrency}",
            "--loglevel=INFO",
            # Workers on one machine don't need to exchange their state.
            "--without-gossip",
            "--without-mingle",
        )


class IngestWorker(_Worker):
    """Runs slices of streams, which mostly wait for brokers and inserts."""

    name = "worker-ingest"
    queue = "ingest"


class DefaultWorker(_Worker):
    """Runs all other tasks."""

    name = "worker-default"
    queue = "default"
    concurrency = 2


class BackfillWorker(_Worker):
    """Loads files of history, each tenant's one after the other."""

    name = "worker-backfill"
    queue = "backfill"
    concurrency = 2


class Beat(_Process):
    """Celery beat, which starts periodic tasks."""

    name = "beat"
    grace = 10

    def command(self) -> tuple[str, ...]:
        schedule = Path(self.home) / "run" / "beat-schedule"
        return ("celery", "--app=millrace", "beat", f"--schedule={schedule}", "--pidfile=")
