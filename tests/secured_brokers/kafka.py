"""One Apache Kafka with a listener of every kind, and rights by user."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from millrace.embedded import jars, ports
from millrace.embedded import kafka as embedded
from secured_brokers.certificates import Authority, Pair
from secured_brokers.provider import Provider

#: May read ``orders``; ``blind`` may only see it, ``lonely`` has no right to a group.
USERS = {"reader": "reader-secret", "blind": "blind-secret", "lonely": "lonely-secret"}
#: The open listener is the tests' own: whoever comes by it may do all.
LISTENERS = ("open", "login", "secure", "mutual", "expired", "soon", "elsewhere", "lost")
_MECHANISMS = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER"
_SECURITY = "org.apache.kafka.common.security"


class SecuredKafka:
    """``at`` a listener is its address; all advertise 127.0.0.1 but ``lost``."""

    def __init__(self, folder: Path, authority: Authority, provider: Provider) -> None:
        self.folder, self.authority, self.provider = folder, authority, provider
        self._ports: dict[str, int] = {}
        for name in (*LISTENERS, "controller"):
            self._ports[name] = ports.choose(set(self._ports.values()))
        self._process: subprocess.Popen[bytes] | None = None

    def at(self, listener: str, host: str = "127.0.0.1") -> str:
        return f"{host}:{self._ports[listener]}"

    # --- Start ----------------------------------------------------------------------------------

    def start(self) -> None:
        jars.paths()
        config = self.folder / "server.properties"
        config.write_text("\n".join(f"{key}={value}" for key, value in self._settings().items()))
        scram = [
            f"--add-scram=SCRAM-SHA-{size}=[name={name},password={password}]"
            for size in (256, 512)
            for name, password in USERS.items()
        ]
        identity = f"--cluster-id={embedded._cluster_id()}"
        subprocess.run(
            [
                *embedded._java(),
                *("kafka.tools.StorageTool", "format", identity, f"--config={config}"),
                *scram,
            ],
            check=True,
            capture_output=True,
        )
        java, *options = embedded._java()
        allowed = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={self.provider.keys_url}"
        with (self.folder / "kafka.log").open("wb") as log:
            self._process = subprocess.Popen(
                [java, allowed, *options, "kafka.Kafka", str(config)], stdout=log, stderr=log
            )
        self._await()
        self._fill()

    def _await(self) -> None:
        deadline = time.monotonic() + 120
        while True:
            assert self._process is not None
            log = self.folder / "kafka.log"
            assert self._process.poll() is None, log.read_text()[-3000:]
            try:
                self.admin.list_topics(timeout=2)
            except KafkaException:
                assert time.monotonic() < deadline, log.read_text()[-3000:]
            else:
                return

    @property
    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.at("open"), "log_level": 0})

    def _fill(self) -> None:
        """Two topics, ten messages, and rights."""
        admin = self.admin
        for future in admin.create_topics(
            [NewTopic("orders", 2, 1), NewTopic("secret", 1, 1)]
        ).values():
            future.result(120)
        topic, group = ResourceType.TOPIC, ResourceType.GROUP
        read, describe = AclOperation.READ, AclOperation.DESCRIBE
        rights = [
            ("reader", topic, "orders", ResourcePatternType.LITERAL, read),
            ("reader", topic, "miss", ResourcePatternType.PREFIXED, read),
            ("reader", group, "millrace-", ResourcePatternType.PREFIXED, read),
            ("blind", topic, "orders", ResourcePatternType.LITERAL, describe),
            ("lonely", topic, "orders", ResourcePatternType.LITERAL, read),
        ]
        bindings = [
            AclBinding(kind, name, how, f"User:{user}", "*", what, AclPermissionType.ALLOW)
            for user, kind, name, how, what in rights
        ]
        for future in admin.create_acls(bindings).values():
            future.result(120)
        producer = Producer({"bootstrap.servers": self.at("open"), "log_level": 0})
        for number in range(10):
            producer.produce("orders", b'{"n": %d}' % number, partition=number % 2)
        assert producer.flush(120) == 0

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    # --- Configuration --------------------------------------------------------------------------

    def _settings(self) -> dict[str, Any]:
        kinds = {
            "open": "PLAINTEXT",
            "login": "SASL_PLAINTEXT",
            "secure": "SASL_SSL",
            "mutual": "SSL",
            "expired": "SSL",
            "soon": "SSL",
            "elsewhere": "SSL",
            "lost": "PLAINTEXT",
            "controller": "PLAINTEXT",
        }
        listeners = ",".join(f"{name.upper()}://{self.at(name)}" for name in kinds)
        hosts = dict.fromkeys(LISTENERS, "127.0.0.1") | {"lost": "nowhere.invalid"}
        hosts = dict.fromkeys(LISTENERS, "127.0.0.1") | {"lost": "nowhere.invalid"}
        advertised = ",".join(
            f"{name.upper()}://{self.at(name, host)}" for name, host in hosts.items()
        )
        settings: dict[str, Any] = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@{self.at('controller')}",
            "listeners": listeners,
            "advertised.listeners": advertised,
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "OPEN",
            "listener.security.protocol.map": ",".join(
                f"{name.upper()}:{kind}" for name, kind in kinds.items()
            ),
            "log.dirs": self.folder / "data",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "ssl.principal.mapping.rules": "RULE:^CN=(.*?)$/$1/",
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 1,
            "group.initial.rebalance.delay.ms": 0,
            "log.cleaner.dedupe.buffer.size": 16777216,
            "log.cleaner.threads": 1,
            "num.network.threads": 1,
            "num.io.threads": 2,
            "auto.create.topics.enable": "false",
            "sasl.oauthbearer.jwks.endpoint.url": self.provider.keys_url,
            "sasl.oauthbearer.expected.audience": "kafka",
            "sasl.oauthbearer.expected.issuer": self.provider.url,
        }
        for name in ("login", "secure"):
            settings |= self._login(f"listener.name.{name}")
        good = self.authority.server("localhost", "127.0.0.1")
        for name in ("secure", "mutual"):
            settings |= self._tls(name, good)
        settings |= self._tls("expired", self.authority.server("127.0.0.1", days=-3))
        settings |= self._tls("soon", self.authority.server("127.0.0.1", days=5))
        settings |= self._tls("elsewhere", self.authority.server("kafka-7.elsewhere.example"))
        return settings | {"listener.name.mutual.ssl.client.auth": "required"}

    @staticmethod
    def _login(prefix: str) -> dict[str, str]:
        users = " ".join(f'user_{name}="{password}"' for name, password in USERS.items())
        scram = f"{_SECURITY}.scram.ScramLoginModule required;"
        bearer = f"{_SECURITY}.oauthbearer"
        return {
            f"{prefix}.sasl.enabled.mechanisms": _MECHANISMS,
            f"{prefix}.plain.sasl.jaas.config": (
                f"{_SECURITY}.plain.PlainLoginModule required {users};"
            ),
            f"{prefix}.scram-sha-256.sasl.jaas.config": scram,
            f"{prefix}.scram-sha-512.sasl.jaas.config": scram,
            f"{prefix}.oauthbearer.sasl.jaas.config": f"{bearer}.OAuthBearerLoginModule required;",
            f"{prefix}.oauthbearer.sasl.server.callback.handler.class": (
                f"{bearer}.OAuthBearerValidatorCallbackHandler"
            ),
        }

    def _tls(self, name: str, pair: Pair) -> dict[str, str]:
        prefix = f"listener.name.{name}.ssl"
        return {
            f"{prefix}.keystore.type": "PEM",
            f"{prefix}.keystore.certificate.chain": _one_line(pair.certificate),
            f"{prefix}.keystore.key": _one_line(pair.key),
            f"{prefix}.truststore.type": "PEM",
            f"{prefix}.truststore.certificates": _one_line(self.authority.certificate),
        }


def _one_line(text: str) -> str:
    """As a properties file has it."""
    return text.strip().replace("\n", "\\n")
