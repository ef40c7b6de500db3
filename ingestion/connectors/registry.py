"""Maps each kind of connection to its connector and its probe."""

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
    """The connector for a connection; for None, the connector of the events endpoint."""
    if connection is None:
        return HttpConnector()
    if connection.kind == ConnectionKind.KAFKA:
        return KafkaConnector(connection)
    return RabbitConnector(connection)


def probe(connection: Connection) -> Probe:
    """The probe that tests a connection; raises Refused for settings that are not allowed."""
    if connection.kind == ConnectionKind.KAFKA:
        return KafkaProbe(connection)
    return RabbitProbe(connection)
