"""Whatever is killed while the demo streams, its counts are exact in the end."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from millrace.embedded.rabbitmq import RabbitMQ
from millrace.embedded.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.chaos, pytest.mark.long, pytest.mark.timeout(900)]


class Demo:
    def __init__(self, home: Path) -> None:
        self.home, self.log = home, home.parent / "demo.log"

    def start(self) -> None:
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "demo", "--check"],
                cwd=ROOT,
                env=os.environ | {"MILLRACE_HOME": str(self.home)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def said(self) -> str:
        return self.log.read_text()

    def await_landing(self) -> None:
        """Return when the first rows are in ClickHouse."""
        deadline = time.monotonic() + 120
        while not re.search(r" [1-9][\d,]* of 362,8\d\d in ClickHouse", self.said):
            assert self.process.poll() is None, self.said[-3000:]
            assert time.monotonic() < deadline, self.said[-3000:]
            time.sleep(0.2)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    made = Demo(tmp_path_factory.mktemp("demo") / "home")
    yield made
    if made.process.poll() is None:
        made.process.kill()
    Stack(made.home).stop()


def test_after_kills_every_row_is_there_once_and_a_second_run_doubles_nothing(demo: Demo) -> None:
    demo.start()
    demo.await_landing()
    stack = Stack(demo.home)
    victims = ["worker-ingest", "clickhouse", "kafka", "worker-ingest"]
    if RabbitMQ(demo.home).why_unavailable() is None:
        victims.insert(3, "rabbitmq")
    for victim in victims:
        if demo.process.poll() is None:
            stack.kill(victim)
            time.sleep(3)
    assert demo.process.wait(300) == 0, demo.said[-3000:]
    assert "The check passed" in demo.said
    _no_process_is_left(demo)

    demo.start()
    assert demo.process.wait(200) == 0, demo.said[-3000:]
    assert "nothing was sent again" in demo.said
    _no_process_is_left(demo)


def _no_process_is_left(demo: Demo) -> None:
    found = subprocess.run(
        ["pgrep", "-f", str(demo.home)], capture_output=True, text=True, check=False
    )
    assert found.stdout == ""
