"""A connection's form, which shows no secret, and the page that tests it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from secured_brokers.certificates import Authority

from ingestion.models import Connection, Source, Table
from tenants.models import Membership, Tenant

PASSWORD = "hunter2-very-secret"


@pytest.fixture
def looker(connection: Connection) -> Client:
    staff = User.objects.create_user("staff", is_staff=True)
    assert connection.tenant is not None
    Membership.objects.create(tenant=connection.tenant, user=staff, role="viewer")
    made = Client()
    made.force_login(staff)
    return made


@pytest.fixture(scope="module")
def pair() -> Any:
    return Authority("CA").client("reader")


@pytest.fixture
def connection(db: None, pair: Any) -> Connection:
    return Connection.objects.create(
        tenant=Tenant.objects.create(slug="shop", name="Shop"),
        name="kafka",
        kind="kafka",
        addresses="127.0.0.1:1",
        username="u",
        password=PASSWORD,
        client_certificate=pair.certificate,
        client_key=pair.key,
    )


def form(one: Connection, **changes: Any) -> dict[str, Any]:
    kept = ("name", "kind", "addresses", "username", "ca_certificate", "client_certificate")
    return {
        **{name: getattr(one, name) for name in kept},
        "tenant": one.tenant_id or "",
        **dict.fromkeys(("sasl_mechanism", "tls", "password", "client_key"), ""),
        "options": "{}",
        **changes,
    }


def change(one: Connection) -> str:
    return reverse("admin:ingestion_connection_change", args=[one.pk])


def tried(one: Connection) -> str:
    return reverse("admin:ingestion_connection_test", args=[one.pk])


# --- The form -----------------------------------------------------------------------------------


def test_no_secret_is_shown_to_who_may_change_it_or_only_look(
    operator: Client, looker: Client, connection: Connection
) -> None:
    for client in (operator, looker):
        page = client.get(change(connection)).content.decode()
        assert PASSWORD not in page
        assert "PRIVATE KEY" not in page
        assert connection.client_certificate.splitlines()[1] in page
    assert "/test/" not in looker.get(change(connection)).content.decode()


def test_a_key_left_empty_stays_and_a_pair_is_forgotten_together(
    operator: Client, connection: Connection, pair: Any
) -> None:
    assert operator.post(change(connection), form(connection, tls="True")).status_code == 302
    connection.refresh_from_db()
    assert (connection.tls, connection.client_key) == (True, pair.key)
    answer = operator.post(change(connection), form(connection, forget_client_key="on"))
    assert "Enter both" in answer.content.decode()
    changes = {"forget_client_key": "on", "client_certificate": ""}
    assert operator.post(change(connection), form(connection, **changes)).status_code == 302
    connection.refresh_from_db()
    assert (connection.client_key, connection.client_certificate) == ("", "")
    assert connection.tls is None


def test_a_key_that_does_not_belong_is_refused_and_not_repeated(
    operator: Client, connection: Connection
) -> None:
    other = Authority("CA").client("other").key
    answer = operator.post(change(connection), form(connection, client_key=other))
    page = answer.content.decode()
    assert "does not belong to the client certificate" in page
    assert connection.client_certificate.splitlines()[1] in page


def test_a_new_connection_by_token(operator: Client, db: None) -> None:
    fields = form(Connection(name="cloud", kind="kafka", addresses="kafka:9092"))
    fields |= {"sasl_mechanism": "OAUTHBEARER", "username": "id", "password": "secret"}
    answer = operator.post(reverse("admin:ingestion_connection_add"), fields)
    assert "needs the token endpoint" in answer.content.decode()
    fields["token_url"] = "https://idp.internal/token"
    assert operator.post(reverse("admin:ingestion_connection_add"), fields).status_code == 302
    assert Connection.objects.get().uses_tls


# --- The test -----------------------------------------------------------------------------------


def test_the_page_tries_nothing_before_it_is_asked_to(
    operator: Client, connection: Connection
) -> None:
    page = operator.get(change(connection)).content.decode()
    assert f'action="{tried(connection)}"' in page
    answer = operator.get(tried(connection))
    assert answer.status_code == 200
    assert "report" not in answer.context


def test_what_fails_is_shown_with_how_to_mend_it(operator: Client, connection: Connection) -> None:
    answer = operator.post(tried(connection), {"stream": "<script>x</script>"})
    page = answer.content.decode()
    assert "Nothing listens at 127.0.0.1:1." in page
    assert "start the broker" in page
    assert "2 of 2 trials failed" in page
    assert page.count("Not reached.") == 4
    assert "<script>x</script>" not in page
    assert PASSWORD not in page


def test_who_may_only_look_tries_nothing(looker: Client, connection: Connection) -> None:
    assert looker.post(tried(connection)).status_code == 403
    assert looker.get(tried(connection)).status_code == 403


def test_a_connection_that_works(
    operator: Client,
    kafka_broker: str,
    unique: Callable[[str], str],
    tenant_factory: Callable[..., Tenant],
    table_factory: Callable[..., Table],
) -> None:
    table = table_factory(tenant_factory(), [{"name": "n", "type": "UInt32"}])
    topic = unique("topic")
    broker = AdminClient({"bootstrap.servers": kafka_broker})
    broker.create_topics([NewTopic(topic, 1, 1)])[topic].result(120)
    made = Connection.objects.create(
        tenant=table.tenant, name="kafka", kind="kafka", addresses=kafka_broker
    )
    Source.objects.create(
        tenant=table.tenant, name="orders", connection=made, stream=topic, table=table
    )
    page = operator.post(tried(made)).content.decode()
    assert f"{made} works." in page
    assert f"read by {table.tenant.slug}.orders" in page
    assert "It has 1 partition." in page
