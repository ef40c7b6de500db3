"""The embedded ClickHouse as a process of its own, started once for all tests of this folder."""

from __future__ import annotations

import http.client
import itertools
import os
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client

USER, PASSWORD = "millrace", "s3cret pass"
_numbers = itertools.count()


@dataclass
class Answer:
    """An HTTP response, read to its end."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> int:
        return int(self.headers.get("x-clickhouse-exception-code", "0"))


@dataclass
class Engine:
    """A running engine; ``log`` is what it has said."""

    data: Path
    options: list[str] = field(default_factory=list)
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    user: str = USER
    password: str = PASSWORD

    @property
    def log(self) -> str:
        return (self.data.parent / f"{self.data.name}.log").read_text()

    def start(self) -> Engine:
        password = self.data.parent / "password"
        password.write_text(PASSWORD + "\n")
        command = [
            *(sys.executable, "-m", "millrace.embedded.clickhouse", "--data", str(self.data)),
            *("--port", str(self.port), "--user", USER, "--password-file", str(password)),
        ]
        log = self.data.parent / f"{self.data.name}.log"
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, *self.options], stdout=output, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + 120
        while "Ready on" not in self.log:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"The engine did not start: {self.log}")
            time.sleep(0.02)
        self.port = int(self.log.split("Ready on http://127.0.0.1:")[1].split()[0])
        return self

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def client(self, **options: Any) -> Client:
        given = {"username": USER, "password": PASSWORD, "send_receive_timeout": 20, **options}
        return clickhouse_connect.get_client(host="127.0.0.1", port=self.port, **given)

    def http(
        self,
        query: str = "",
        body: bytes = b"",
        *,
        method: str = "POST",
        user: str = USER,
        password: str = PASSWORD,
        headers: dict[str, str] | None = None,
        path: str = "/",
        **parameters: str | int,
    ) -> Answer:
        """One request by the standard library's client; ``query`` travels in the address."""
        credentials = b64encode(f"{user}:{password}".encode()).decode()
        sent = {"Authorization": f"Basic {credentials}", **(headers or {})}
        pairs = {**({"query": query} if query else {}), **parameters}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            address = f"{path}?{urlencode(pairs)}" if pairs else path
            connection.request(method, address, body or None, sent)
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())
        finally:
            connection.close()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engine")


@pytest.fixture(scope="session")
def engine(folder: Path) -> Iterator[Engine]:
    running = Engine(folder / "data").start()
    yield running
    assert running.stop() == 0
    assert "Traceback" not in running.log


@pytest.fixture
def new_engine(tmp_path: Path) -> Iterator[Callable[..., Engine]]:
    """Engines of a test's own, stopped after it."""
    started: list[Engine] = []

    def start(name: str = "data", options: list[str] | None = None) -> Engine:
        engine = Engine(tmp_path / name, options or [])
        started.append(engine)
        return engine.start()

    yield start
    for each in started:
        if each.process is not None and each.process.poll() is None:
            each.kill()


@pytest.fixture
def client(engine: Engine) -> Iterator[Client]:
    with engine.client() as client:
        yield client


@pytest.fixture
def database(engine: Engine) -> Iterator[str]:
    """A database of the test's own."""
    name = f"d{os.getpid()}_{next(_numbers)}"
    with engine.client() as client:
        client.command(f"CREATE DATABASE {name}")
        yield name
        client.command(f"DROP DATABASE IF EXISTS {name} SYNC")
