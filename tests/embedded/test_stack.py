"""Embedded services together: start, stop, kill, restart, taken ports, and nothing left over."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import kombu
import psutil
import psycopg
import pytest
import redis
import urllib3
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from millrace.embedded import installation_secrets, ports, processes, service_urls
from millrace.embedded.rabbitmq import RabbitMQ
from millrace.embedded.stack import SERVICES, Stack

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def _available(home: Path) -> tuple[str, ...]:
    missing = RabbitMQ(home).why_unavailable() is not None
    return tuple(name for name in SERVICES if not (name == "rabbitmq" and missing))


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    Stack(tmp_path).stop()


class Data:
    """Something in every service, and the look whether it is still there."""

    def __init__(self, stack: Stack) -> None:
        self.urls = stack.urls
        self.names = _available(stack.home)

    def write(self) -> None:
        with psycopg.connect(self.urls["DATABASE_URL"], autocommit=True) as link:
            link.execute("CREATE TABLE kept (n int)")
            link.execute("INSERT INTO kept VALUES (1)")
        self._clickhouse("CREATE TABLE default.kept (n UInt8) ENGINE = MergeTree ORDER BY n")
        self._clickhouse("INSERT INTO default.kept VALUES (2)")
        redis.Redis.from_url(self.urls["CACHE_URL"]).set("kept", "3")
        servers = self.urls["KAFKA_URL"].removeprefix("kafka://")
        admin = AdminClient({"bootstrap.servers": servers})
        admin.create_topics([NewTopic("kept", 1, 1)])["kept"].result(120)
        producer = Producer({"bootstrap.servers": servers})
        producer.produce("kept", b"4")
        assert producer.flush(120) == 0
        if "rabbitmq" in self.names:
            confirm = {"confirm_publish": True}  # an answer means that it is on the disk
            with kombu.Connection(self.urls["RABBITMQ_URL"], transport_options=confirm) as link:
                queue = link.SimpleQueue("kept")
                queue.put({"n": 5})
                queue.close()

    def check(self) -> None:
        with psycopg.connect(self.urls["DATABASE_URL"]) as link:
            assert link.execute("SELECT n FROM kept").fetchall() == [(1,)]
        assert self._clickhouse("SELECT n FROM default.kept") == b"2\n"
        servers = self.urls["KAFKA_URL"].removeprefix("kafka://")
        consumer = Consumer({"bootstrap.servers": servers, "group.id": "g"})
        consumer.assign([TopicPartition("kept", 0, 0)])
        message = consumer.poll(15)
        assert message is not None
        assert message.value() == b"4"
        consumer.close()
        if "rabbitmq" in self.names:
            with kombu.Connection(self.urls["RABBITMQ_URL"]) as link:
                queue = link.SimpleQueue("kept")
                assert queue.get(timeout=120).payload == {"n": 5}
                queue.close()

    def _clickhouse(self, sql: str) -> bytes:
        parts = urlsplit(self.urls["CLICKHOUSE_URL"])
        answer = urllib3.request(
            "POST",
            f"http://{parts.hostname}:{parts.port}/",
            body=sql,
            headers=urllib3.make_headers(basic_auth=f"{parts.username}:{parts.password}"),
        )
        assert answer.status == 200, answer.data
        return answer.data


def test_data_outlives_stop_and_start_and_kill(home: Path) -> None:
    names = _available(home)
    stack = Stack(home, names)
    stack.start()
    data = Data(stack)
    data.write()
    pids = {name: stack.pid(name) for name in names}
    stack.start()  # a second start changes nothing
    assert {name: stack.pid(name) for name in names} == pids
    _only_loopback_listens(home)

    for name in names:
        stack.kill(name)
    time.sleep(0.5)
    for name in names:
        stack.wait(name)
    data.check()
    assert all(stack.pid(name) != pids[name] for name in names)

    stack.stop()
    assert processes.of(home) == []
    stack.start()
    data.check()
    stack.stop()
    assert processes.of(home) == []


def _only_loopback_listens(home: Path) -> None:
    found = 0
    for process in processes.of(home):
        for one in process.net_connections("inet"):
            if one.status == psutil.CONN_LISTEN:
                found += 1
                assert one.laddr.ip in {"127.0.0.1", "::1", "::ffff:127.0.0.1"}, (process, one)
    assert found >= 4


def test_a_port_that_is_taken_is_no_obstacle(home: Path) -> None:
    number = ports.read(home)["valkey"]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", number))
        taken.listen()
        stack = Stack(home, ("valkey",))
        stack.start()
        assert ports.read(home)["valkey"] != number
        assert redis.Redis.from_url(stack.urls["CACHE_URL"]).ping()
        stack.stop()


def test_passwords_are_random_and_for_the_owner_alone(tmp_path: Path) -> None:
    first, second = (
        installation_secrets.read(tmp_path / "a"),
        installation_secrets.read(tmp_path / "b"),
    )
    assert installation_secrets.read(tmp_path / "a") == first
    assert all(first[name] != second[name] for name in first)
    for file in (tmp_path / "a").glob("*.json"):
        assert file.stat().st_mode & 0o077 == 0


def test_two_installations_have_ports_of_their_own(tmp_path: Path) -> None:
    first, second = ports.read(tmp_path / "a"), ports.read(tmp_path / "b")
    assert len(set(first.values())) == len(first)
    assert set(first.values()).isdisjoint(second.values())
    assert service_urls.urls(tmp_path / "a") != service_urls.urls(tmp_path / "b")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_everything_and_leaves_no_process(number: int, home: Path) -> None:
    up = subprocess.Popen(
        [sys.executable, "-m", "millrace.embedded", "up", "--only", "postgres,valkey"],
        env=os.environ | {"MILLRACE_HOME": str(home)},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert up.stdout is not None
    for line in up.stdout:
        if "Press Ctrl-C to stop" in line:
            break
    assert len(processes.of(home)) >= 3
    up.send_signal(number)
    assert "Stopped." in up.communicate(timeout=120)[0]
    assert processes.of(home) == []


def test_status_says_that_nothing_runs_and_what_to_do(home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "millrace.embedded", "status"],
        env=os.environ | {"MILLRACE_HOME": str(home)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "make up" in done.stdout
