"""The embedded Kafka: formatted once, with one replica of everything."""

from __future__ import annotations

import subprocess
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaException

from millrace.embedded import jars, kafka, ports
from millrace.embedded.component import NotReady
from millrace.embedded.errors import DidNotStart
from millrace.embedded.kafka import Kafka


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that were run, none of which really is."""
    run: list[list[str]] = []

    def fake(command: list[str], **options: Any) -> Any:
        run.append(command)
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(subprocess, "run", fake)
    monkeypatch.setattr(jars, "paths", list)
    monkeypatch.setattr(jars, "expected", lambda: [Path("/j/a.jar"), Path("/j/b.jar")])
    return run


def test_a_data_folder_is_formatted_only_while_it_is_not(
    tmp_path: Path, commands: list[list[str]]
) -> None:
    component = Kafka(tmp_path)
    component.prepare()
    (component.folder / "data").mkdir()
    component.prepare()
    assert len(commands) == 2
    assert f"--config={component.folder / 'server.properties'}" in commands[0]
    # An interrupted format may have left a part.
    assert "--ignore-formatted" in commands[0]
    (component.folder / "data" / "meta.properties").touch()
    component.prepare()
    assert len(commands) == 2


def test_a_failed_format_is_reported_with_its_reason(
    tmp_path: Path, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = SimpleNamespace(returncode=1, stderr="Log directory is full\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(DidNotStart, match=r"could not be formatted:\nLog directory is full"):
        Kafka(tmp_path).prepare()


def test_the_broker_has_its_two_ports_on_loopback_and_every_jar_in_order(
    tmp_path: Path, commands: list[list[str]]
) -> None:
    component = Kafka(tmp_path)
    component.prepare()
    number = ports.read(tmp_path)
    lines = (component.folder / "server.properties").read_text().splitlines()
    values = dict(line.split("=", 1) for line in lines)
    assert values["advertised.listeners"] == f"PLAINTEXT://127.0.0.1:{number['kafka']}"
    assert values["controller.quorum.voters"] == f"1@127.0.0.1:{number['kafka_controller']}"
    hosts = {listener.split("//")[1].split(":")[0] for listener in values["listeners"].split(",")}
    assert hosts == {"127.0.0.1"}
    # Events keep the time at which they happened, which may be long past.
    assert values["log.retention.ms"] == "-1"
    factors = [value for name, value in values.items() if name.endswith("replication.factor")]
    assert set(factors) == {"1"}
    (program,) = component.programs()
    assert program.command[program.command.index("-cp") + 1] == "/j/a.jar:/j/b.jar"
    assert program.environment == {"LC_ALL": "C.UTF-8"}


def test_a_cluster_id_does_not_look_like_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = iter([uuid.UUID(bytes=b"\xfb" + bytes(15)), uuid.UUID(bytes=b"\x01" + bytes(15))])
    monkeypatch.setattr(uuid, "uuid4", lambda: next(numbers))
    text = kafka._cluster_id()
    assert (len(text), text[0]) == (22, "A")
    assert next(numbers, None) is None


def test_a_broker_that_accepts_connections_may_not_be_ready_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Any, timeout: float) -> None:
        raise KafkaException("starting")

    monkeypatch.setattr(kafka, "connect", lambda port: None)
    monkeypatch.setattr(
        kafka,
        "AdminClient",
        lambda settings: SimpleNamespace(list_topics=lambda timeout: refuse(None, timeout)),
    )
    with pytest.raises(NotReady, match="starting"):
        Kafka(tmp_path).check()
