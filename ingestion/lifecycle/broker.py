"""What Millrace itself has made at brokers: the consumer groups of Kafka.

Topics and queues are the customer's and stay. RabbitMQ is left nothing of ours: what a consumer
holds goes back when it disconnects. Events over HTTP are spooled in Postgres.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from ingestion.connectors.kafka import config
from ingestion.connectors.kafka.connector import TIMEOUT, group
from ingestion.errors import IngestionError
from ingestion.models import Connection, ConnectionKind, Source
from tenants.lifecycle.registry import Doomed


class Brokers:
    """The groups ``millrace-<tenant>-<source>``."""

    name = "Brokers"

    def settle(self, doomed: Doomed) -> None:
        """Leases are over, and with them all consuming."""

    def count(self, doomed: Doomed) -> Mapping[str, int]:
        """Groups at brokers that answer; of one that does not, nobody knows."""
        return {"consumer groups": sum(len(_there(*one) or ()) for one in _groups(doomed))}

    def remove(self, doomed: Doomed) -> list[str]:
        return [line for one in _groups(doomed) for line in _delete(*one)]


def remove_group(source: Source) -> list[str]:
    """Delete the consumer group of one source; what had to be left, and what to do about it.

    The group's name is the source's, so that another source of that name would go on with it.
    """
    if source.connection is None or source.kind != ConnectionKind.KAFKA:
        return []
    return _delete(source.connection, {group(source)})


def _groups(doomed: Doomed) -> Iterator[tuple[Connection, set[str]]]:
    sources = Source.objects.filter(tenant=doomed.pk, connection__kind=ConnectionKind.KAFKA)
    by_connection: dict[Connection, set[str]] = {}
    for source in sources.select_related("connection", "tenant"):
        if source.connection is not None:
            by_connection.setdefault(source.connection, set()).add(group(source))
    yield from by_connection.items()


def _there(connection: Connection, groups: set[str]) -> set[str] | None:
    """Those of the groups that the broker has; None where it does not answer.

    A client that does not know the brokers yet gives an empty list without an error, so it asks
    for their metadata first.
    """
    try:
        admin = _admin(connection)
        admin.list_topics(timeout=TIMEOUT)
        asked = admin.list_consumer_groups(request_timeout=TIMEOUT).result(TIMEOUT)
    except (KafkaException, IngestionError, TimeoutError):
        return None
    return None if asked.errors else groups & {one.group_id for one in asked.valid}


def _delete(connection: Connection, groups: set[str]) -> list[str]:
    found = _there(connection, groups)
    if found is None:
        names = " --group ".join(sorted(groups))
        line = (
            f"{connection} does not answer at {connection.addresses}. If it still exists, delete "
            f"there: kafka-consumer-groups.sh --delete --group {names}"
        )
        return [line]
    if not found:
        return []
    admin = _admin(connection)
    admin.list_topics(timeout=TIMEOUT)
    asked = admin.delete_consumer_groups(sorted(found), request_timeout=TIMEOUT)
    refused = {name: _refusal(future) for name, future in asked.items()}
    # What was refused may be gone all the same, as where an answer got lost.
    still = _there(connection, found)
    left = sorted(found if still is None else still)
    return [f"The group {name} at {connection} stays. {refused[name]}".strip() for name in left]


def _refusal(future: Future[Any]) -> str:
    try:
        future.result(2 * TIMEOUT)
    except TimeoutError:
        return "The broker did not answer in time."
    except KafkaException as error:
        return str(error.args[0].str())
    return ""


def _admin(connection: Connection) -> AdminClient:
    return AdminClient(config.admin(connection))
