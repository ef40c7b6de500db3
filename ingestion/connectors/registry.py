"""Which connector serves which kind of connection."""

from __future__ import annotations

from ingestion.connectors.base import Connector
from ingestion.connectors.connection_trial import Probe
from ingestion.connectors.http.connector import HttpConnector
from ingestion.connectors.kafka.connector import KafkaConnector
from ingestion.connectors.kafka.probe import KafkaProbe
from ingestion.connectors.rabbitmq.connector import RabbitConnector
from ingestion.connectors.rabbitmq.probe import RabbitProbe
from ingestion.models import Connection, ConnectionKind


def connect(connection: Connection | None) -> Connector:
    """The connector of a connection; without one, that of the events endpoint."""
    if connection is None:
        return HttpConnector()
    if connection.kind == ConnectionKind.KAFKA:
        return KafkaConnector(connection)
    return RabbitConnector(connection)


def probe(connection: Connection) -> Probe:
    """What tries a connection step by step; raises Refused for settings that can't be."""
    if connection.kind == ConnectionKind.KAFKA:
        return KafkaProbe(connection)
    return RabbitProbe(connection)
