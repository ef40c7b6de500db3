from __future__ import annotations

import ssl
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

from ingestion.connectors import connection_trial, tls
from ingestion.connectors.address import listed, split
from ingestion.connectors.connection_trial import ConnectionTrial, Probe, TrialStep
from ingestion.connectors.kafka import config
from ingestion.connectors.kafka.asking import Asker
from ingestion.connectors.kafka.connector import group
from ingestion.connectors.kafka.judging import commit_permission, read_permission, the_topic
from ingestion.connectors.network import Approach, Greeting
from ingestion.errors import Refused
from ingestion.models import Connection, Source

#: Kafka's ApiVersions, version 0, which every listener answers before any login
#: (https://kafka.apache.org/protocol#The_Messages_ApiVersions); 7 is ours to know the answer by.
GREETING = Greeting(
    "Kafka",
    bytes.fromhex("0000000a 0012 0000 00000007 ffff"),
    lambda answer: answer[4:8] == b"\x00\x00\x00\x07",
)
#: Addresses that are tried at once.
_THREADS = 8


class KafkaProbe(Probe):
    """Tests each address, then each broker that those advertise."""

    stream_word = "topic"

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._config = config.probe(connection)
        protocol = str(self._config["security.protocol"]).upper()
        self._context = _context(connection, self._config) if "SSL" in protocol else None
        #: Ids of the brokers by the addresses that they advertise.
        self._advertised: dict[str, int] = {}
        self._good = ""

    def addresses(self) -> list[ConnectionTrial]:
        configured = listed(self.connection.addresses)
        with ThreadPoolExecutor(_THREADS) as pool:
            trials = list(pool.map(self._try, configured))
            known = {_plain(address) for address in configured}
            others = {at: number for at, number in self._advertised.items() if at not in known}
            trials += pool.map(self._try_advertised, others.items())
        return trials

    def _try_advertised(self, broker: tuple[str, int]) -> ConnectionTrial:
        address, number = broker
        note = f"the address that broker {number} advertises (advertised.listeners)"
        return self._try(address, note)

    def _try(self, address: str, note: str = "") -> ConnectionTrial:
        try:
            host, port = split(address, 9092)
        except connection_trial.StepFailed as error:
            return connection_trial.failed(address, list(TrialStep)[:4], error, note)
        way = Approach(
            host,
            port,
            GREETING,
            self._context,
            has_certificate=bool(self.connection.client_certificate),
        )
        try:
            return connection_trial.run(
                address, [*way.steps, (TrialStep.LOGIN, lambda: self._login(host, port))], note
            )
        finally:
            way.close()

    def _login(self, host: str, port: int) -> str:
        at = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        with Asker(self._config | {"bootstrap.servers": at}, at) as asker:
            try:
                cluster = asker.cluster()
            except connection_trial.StepFailed:
                # The login succeeded if the broker told where the other brokers are.
                self._advertised |= asker.elsewhere
                if asker.elsewhere:
                    return f"{self._as_whom}; it leads to {', '.join(asker.elsewhere)}."
                raise
        self._good = self._good or at
        brokers = cluster.nodes
        self._advertised |= {f"{one.host}:{one.port}": one.id for one in brokers}
        size = "1 broker" if len(brokers) == 1 else f"{len(brokers)} brokers"
        return f"{self._as_whom}; the cluster has {size}."

    @property
    def _as_whom(self) -> str:
        if "SASL" not in str(self._config["security.protocol"]).upper():
            return "No login needed"
        mechanism = self._config.get("sasl.mechanisms") or self._config["sasl.mechanism"]
        return f"By {mechanism} as {self.connection.username}"

    @property
    def is_in(self) -> bool:
        return bool(self._good)

    def stream(self, name: str, sources: Collection[Source]) -> ConnectionTrial:
        groups = [group(one) for one in sources]
        asker = self._asker
        steps = [
            (TrialStep.PERMISSION, lambda: self._permission(asker, name, groups)),
            (TrialStep.STREAM, lambda: the_topic(asker, name)),
        ]
        return connection_trial.run(name, steps)

    @cached_property
    def _asker(self) -> Asker:
        return Asker(self._config | {"bootstrap.servers": self._good}, self._good)

    def close(self) -> None:
        vars(self).pop("_asker", None)

    @staticmethod
    def _permission(asker: Asker, name: str, groups: list[str]) -> str:
        said = read_permission(asker, name)
        commit_permission(asker, groups)
        return said


def _plain(address: str) -> str:
    """An address in the form that brokers advertise."""
    try:
        host, port = split(address, 9092)
    except connection_trial.StepFailed:
        return address
    return f"{host}:{port}"


def _context(connection: Connection, settings: dict[str, Any]) -> ssl.SSLContext:
    """An SSLContext that follows librdkafka's TLS settings; raises Refused."""
    made = tls.context(connection)
    try:
        if text := connection.options.get("ssl.ca.pem"):
            made.load_verify_locations(cadata=text)
        if place := settings.get("ssl.ca.location"):
            folder = Path(place).is_dir()
            made.load_verify_locations(**{"capath" if folder else "cafile": place})
    except (OSError, ValueError) as error:
        msg = f"The CA certificates of the connection {connection} can't be used: {error}."
        raise Refused(msg) from error
    if str(settings.get("ssl.endpoint.identification.algorithm", "https")).lower() == "none":
        made.check_hostname = False
    if str(settings.get("enable.ssl.certificate.verification", True)).lower() == "false":
        made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    return made
