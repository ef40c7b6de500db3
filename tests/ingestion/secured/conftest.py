"""A secured Kafka and a secured RabbitMQ, each started once for the run that asks for it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.utils import timezone
from secured_brokers.certificates import Authority
from secured_brokers.kafka import USERS, SecuredKafka
from secured_brokers.provider import Provider
from secured_brokers.rabbitmq import SecuredRabbitMQ

from ingestion.connectors.connection_trial import TrialStep
from ingestion.consume.loop import Slice
from ingestion.models import Connection, Source, Table
from ingestion.services.trials import try_connection
from millrace.embedded.rabbitmq import RabbitMQ
from tenants.models import Tenant
from tenants.warehouse import client

_numbers = itertools.count()


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority("Millrace Test CA")


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    made = Provider(USERS)
    yield made
    made.close()


@pytest.fixture(scope="session")
def secured_kafka(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority, provider: Provider
) -> Iterator[SecuredKafka]:
    made = SecuredKafka(tmp_path_factory.mktemp("secured-kafka"), authority, provider)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def secured_rabbitmq(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> Iterator[SecuredRabbitMQ]:
    home = tmp_path_factory.mktemp("secured-rabbitmq")
    reason = RabbitMQ(home).why_unavailable()
    if reason:
        pytest.skip(reason)
    made = SecuredRabbitMQ(home, authority)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def broker(tenant_factory: Callable[..., Tenant]) -> Callable[..., Connection]:
    """Makes connections as an operator would: checked, saved, and read again."""
    tenant = tenant_factory()

    def make(kind: str, addresses: str, **fields: Any) -> Connection:
        made = Connection(tenant=tenant, name=f"broker{next(_numbers)}", kind=kind, **fields)
        made.addresses = addresses
        made.full_clean()
        made.save()
        return Connection.objects.get(pk=made.pk)

    return make


@pytest.fixture
def landed(table_factory: Callable[..., Table]) -> Callable[..., list[int]]:
    """What a source of a connection brings into a table of its own, in order."""

    def read(connection: Connection, stream: str, count: int) -> list[int]:
        tenant = connection.tenant
        assert tenant is not None
        table = table_factory(tenant, [{"name": "n", "type": "UInt32"}], name="events")
        source = Source.objects.create(
            tenant=tenant, name="orders", connection=connection, stream=stream, table=table
        )
        deadline = time.monotonic() + 120
        found: list[int] = []
        while len(found) < count and time.monotonic() < deadline:
            Source.objects.filter(pk=source.pk).update(retry_at=timezone.now())
            Slice(connection.pk, seconds=1.0).run()
            sql = f"SELECT n FROM {tenant.warehouse.database}.events ORDER BY n"
            found = [row["n"] for row in client.rows(sql)]
        source.refresh_from_db()
        assert source.error == ""
        return found

    return read


@pytest.fixture
def fails() -> Callable[..., tuple[TrialStep, str, str]]:
    """Where a test of the connection ends: the step, what it says, and how to mend it."""

    def find(connection: Connection, *streams: str) -> tuple[TrialStep, str, str]:
        report = try_connection(connection, streams)
        assert not report.is_good
        (failure,) = [
            one.failure for one in (*report.addresses, *report.streams) if one.failure is not None
        ]
        assert failure.mend
        return failure.step, failure.said, failure.mend

    return find
