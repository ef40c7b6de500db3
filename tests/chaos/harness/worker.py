"""An ingest worker as a process, behind a network of its own, and what starts it anew."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from millrace.embedded import ports
from tests.chaos.harness.proxy import Proxy

if TYPE_CHECKING:
    from tests.chaos.harness.grounds import Grounds

ROOT = Path(__file__).resolve().parents[3]


class Worker:
    """An ingest worker with a network of its own. ``sabotage`` breaks it on purpose."""

    def __init__(
        self,
        grounds: Grounds,
        number: int,
        sabotage: str = "",
        threads: int = 4,
        **environment: str,
    ) -> None:
        self.name, self._grounds = f"worker {number}", grounds
        urls = grounds.running.urls
        self.networks: dict[str, Proxy] = {}
        self._environment = grounds.running.environment | {
            "DJANGO_SETTINGS_MODULE": "millrace.settings",
            "PYTHONUNBUFFERED": "1",
            **environment,
        }
        for variable, service in (
            ("DATABASE_URL", "postgres"),
            ("CLICKHOUSE_URL", "clickhouse"),
            ("CELERY_BROKER_URL", "valkey"),
        ):
            proxy = Proxy(ports.read(grounds.running.home)[service])
            self.networks[service] = proxy
            port = f":{ports.read(grounds.running.home)[service]}"
            self._environment[variable] = urls[variable].replace(port, f":{proxy.port}")
        module = "tests.chaos.harness.sabotage" if sabotage else "celery"
        self._command = [sys.executable, "-m", module, *([sabotage] if sabotage else [])]
        self._command += ["--app=millrace", "worker", "--queues=ingest", "--pool=threads"]
        self._command += [
            f"--concurrency={threads}",
            f"--hostname=chaos{number}@%h",
            "--loglevel=INFO",
        ]
        self._command += ["--loglevel=INFO", "--without-gossip", "--without-mingle"]
        self.log = grounds.running.home / f"worker{number}.log"

    def start(self) -> None:
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.process.wait()

    def terminate(self) -> None:
        self.signal(signal.SIGTERM)
        try:
            self.process.wait(120)
        except subprocess.TimeoutExpired:
            self.kill()

    def last_lines(self, number: int) -> list[str]:
        """The end of its log."""
        return self.log.read_text(errors="replace").splitlines()[-number:]

    @property
    def resident_bytes(self) -> int:
        """Of memory, now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(status.partition("VmRSS:")[2].split()[0])

    def close(self) -> None:
        if self.process.poll() is None:
            self.kill()
        for one in self.networks.values():
            one.close()


class Revival(threading.Thread):
    """Starts workers that have died, as supervisor would; ``deaths`` counts them."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        super().__init__(daemon=True)
        self._workers, self._ended = workers, threading.Event()
        self.deaths = 0

    def run(self) -> None:
        while not self._ended.wait(0.2):
            for dead in [one for one in self._workers if one.process.poll() is not None]:
                self.deaths += 1
                dead.start()

    def __enter__(self) -> Revival:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()
