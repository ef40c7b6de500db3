"""Workers that stop, die and multiply while a stream runs; an engine that is away for a while."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

pytestmark = [pytest.mark.chaos, pytest.mark.long, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[2]
PARTITIONS = 4
CONFIGURATION = """
connections:
  - {name: kafka, kind: kafka, addresses: {env: KAFKA_ADDRESSES}}
tenants:
  - slug: chaos
    tables:
      - name: %(name)s
        columns:
          - {name: n, type: UInt64}
          - {name: text, type: String}
        sorting_key: [n]
    sources:
      - {name: %(name)s, connection: kafka, stream: %(name)s, table: %(name)s}
"""


class Stream(threading.Thread):
    """Sends evenly to all partitions of a topic until told to stop; every 1000th is broken."""

    def __init__(self, servers: str, topic: str, rate: int = 20_000) -> None:
        super().__init__(daemon=True)
        admin = AdminClient({"bootstrap.servers": servers})
        admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(120)
        self._producer = Producer({"bootstrap.servers": servers, "linger.ms": 5})
        self._topic, self._rate = topic, rate
        self._stopped = threading.Event()
        self.sent = self.broken = 0

    def run(self) -> None:
        began = time.monotonic()
        while not self._stopped.is_set():
            for _ in range(1000):
                n = self.sent
                body = b"{broken" if n % 1000 == 999 else b'{"n": %d, "text": "%040d"}' % (n, n)
                self._produce(body, n % PARTITIONS)
                self.broken += body == b"{broken"
                self.sent += 1
            self._producer.poll(0)
            time.sleep(max(0.0, began + self.sent / self._rate - time.monotonic()))

    def _produce(self, body: bytes, partition: int) -> None:
        while True:
            try:
                self._producer.produce(self._topic, body, partition=partition)
            except BufferError:  # the broker takes them slower than they are made
                self._producer.poll(0.1)
            else:
                return

    def stop(self) -> None:
        self._stopped.set()
        self.join()
        assert self._producer.flush(120) == 0


@pytest.fixture(scope="module")
def running(installation: Any) -> Any:
    installation.start("postgres", "clickhouse", "valkey", "kafka", "worker-ingest", "beat")
    installation.start("worker-default")
    return installation


def begin(running: Any, tmp_path: Path, name: str) -> Stream:
    stream = Stream(running.urls["KAFKA_URL"].removeprefix("kafka://"), name)
    file = tmp_path / "chaos.yaml"
    file.write_text(CONFIGURATION % {"name": name})
    running.manage("apply", str(file))
    stream.start()
    await_landed(running, name, 10_000)
    return stream


def status(running: Any, name: str) -> dict[str, Any]:
    found = json.loads(running.manage("status", "chaos", "--json").stdout)
    return next(one for one in found if one["source"] == name)


def await_landed(running: Any, name: str, count: int, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while True:
        now = status(running, name)
        if now["landed"] + now["quarantined"] >= count:
            return
        assert time.monotonic() < deadline, now
        time.sleep(0.5)


def check(running: Any, name: str, stream: Stream) -> None:
    """Every message is there once: in the table or, if broken, in the quarantine."""
    stream.stop()
    await_landed(running, name, stream.sent)
    now = status(running, name)
    assert (now["landed"], now["quarantined"]) == (stream.sent - stream.broken, stream.broken)
    code = (
        "from tenants.warehouse import client\n"
        f"print(client.rows('SELECT count() AS c, uniqExact(n) AS u FROM t_chaos.{name}')[0])\n"
        f"print(client.rows('SELECT count() AS c FROM t_chaos.{name}__quarantine')[0])\n"
    )
    rows, quarantined = running.python(code).splitlines()
    good = stream.sent - stream.broken
    assert rows == str({"c": good, "u": good})
    assert quarantined == str({"c": stream.broken})


def test_sigterm_stops_a_worker_warm_and_another_goes_on(running: Any, tmp_path: Path) -> None:
    stream = begin(running, tmp_path, "warm")
    for _ in range(3):
        began = time.monotonic()
        running.stack.halt("worker-ingest")
        assert time.monotonic() - began < 60
        left = running.python(
            "from ingestion.models import Batch, StreamPartition\n"
            "print(Batch.across_tenants.filter(state='intent').count(),\n"
            "      StreamPartition.across_tenants.exclude(lease_owner='').count())"
        )
        assert left.split() == ["0", "0"]
        running.stack.start(["worker-ingest"])
        time.sleep(2)
    check(running, "warm", stream)


def test_workers_that_are_killed_at_any_moment_lose_and_double_nothing(
    running: Any, tmp_path: Path
) -> None:
    stream = begin(running, tmp_path, "killed")
    for pause in (0.7, 1.3, 2.1, 0.4):
        time.sleep(pause)
        running.stack.kill("worker-ingest")
        running.stack.wait("worker-ingest")
        time.sleep(2)
    check(running, "killed", stream)


def test_two_workers_share_a_stream(running: Any, tmp_path: Path) -> None:
    """A second one with a slice of its own; both are killed along the way."""
    stream = begin(running, tmp_path, "shared")
    second = [sys.executable, "-m", "celery", "--app=millrace", "worker", "--queues=ingest"]
    second += ["--pool=threads", "--concurrency=2", "--hostname=second@%h", "--loglevel=WARNING"]
    environment = running.environment | {"DJANGO_SETTINGS_MODULE": "millrace.settings"}
    with (tmp_path / "second.log").open("w") as log:
        process = subprocess.Popen(
            second, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            time.sleep(6)
            running.stack.kill("worker-ingest")
            time.sleep(4)
        finally:
            process.kill()
            process.wait()
    running.stack.wait("worker-ingest")
    check(running, "shared", stream)


def test_while_clickhouse_is_away_the_broker_keeps_the_data(running: Any, tmp_path: Path) -> None:
    stream = begin(running, tmp_path, "away")
    running.stack.halt("clickhouse")
    deadline = time.monotonic() + 120
    while status(running, "away")["state"] != "failing" and time.monotonic() < deadline:
        time.sleep(0.5)
    now = status(running, "away")
    assert now["state"] == "failing"
    assert "does not answer" in now["last_error"]
    time.sleep(3)
    running.stack.start(["clickhouse"])
    check(running, "away", stream)
