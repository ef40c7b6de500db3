"""Deletes what Millrace itself has created at brokers: Kafka's consumer groups.

Topics and queues belong to the customer and stay. Nothing of Millrace's stays in RabbitMQ: messages
that a consumer holds go back to the queue when it disconnects. Events over HTTP are spooled in
Postgres.
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
    """A tenant's consumer groups, ``millrace-<tenant>-<source>``."""

    name = "Brokers"

    def settle(self, doomed: Doomed) -> None:
        """Nothing to wait for: ``Streams`` has waited for the leases, so nothing is consumed."""

    def count(self, doomed: Doomed) -> Mapping[str, int]:
        """How many groups exist at the brokers that answer. Others count as having none."""
        return {
            "consumer groups": sum(
                len(_existing(connection, groups) or ()) for connection, groups in _groups(doomed)
            )
        }

    def remove(self, doomed: Doomed) -> list[str]:
        """Delete the groups; returns which ones stay, and what to do about them."""
        return [
            line for connection, groups in _groups(doomed) for line in _delete(connection, groups)
        ]


def remove_group(source: Source) -> list[str]:
    """Delete the consumer group of one source; returns whether it stays, and what to do about it.

    The group has the source's name, so another source of that name would continue with the group.
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


def _existing(connection: Connection, groups: set[str]) -> set[str] | None:
    """Those of the groups that exist at the broker; None if it does not answer.

    A client that does not know the brokers yet returns an empty list without an error, so it first
    asks for their metadata.
    """
    try:
        admin = _admin(connection)
        admin.list_topics(timeout=TIMEOUT)
        listing = admin.list_consumer_groups(request_timeout=TIMEOUT).result(TIMEOUT)
    except (KafkaException, IngestionError, TimeoutError):
        return None
    return None if listing.errors else groups & {listed.group_id for listed in listing.valid}


def _delete(connection: Connection, groups: set[str]) -> list[str]:
    existing = _existing(connection, groups)
    if existing is None:
        names = " --group ".join(sorted(groups))
        line = (
            f"{connection} does not answer at {connection.addresses}. If it still exists, run "
            f"there: kafka-consumer-groups.sh --delete --group {names}"
        )
        return [line]
    if not existing:
        return []
    admin = _admin(connection)
    admin.list_topics(timeout=TIMEOUT)
    futures = admin.delete_consumer_groups(sorted(existing), request_timeout=TIMEOUT)
    refusals = {name: _refusal(future) for name, future in futures.items()}
    # A group may be gone despite an error, because the answer got lost.
    remaining = _existing(connection, existing)
    left = sorted(existing if remaining is None else remaining)
    return [f"The group {name} at {connection} stays. {refusals[name]}".strip() for name in left]


def _refusal(future: Future[Any]) -> str:
    """Why the broker did not delete a group; empty if it did."""
    try:
        future.result(2 * TIMEOUT)
    except TimeoutError:
        return "The broker did not answer in time."
    except KafkaException as error:
        return str(error.args[0].str())
    return ""


def _admin(connection: Connection) -> AdminClient:
    return AdminClient(config.admin(connection))
