"""Sources by the API: how each is, pausing, resuming, what did not fit, and who may not ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from ingestion.consume.discovery import measure_connection
from ingestion.consume.loop import Slice
from ingestion.models import Source, Table
from ingestion.monitoring.source_status import source_status
from ingestion.services import removal, sources
from tenants.models import Tenant
from tenants.services.keys import create_key
from tenants.warehouse import client as warehouse

ADDRESSES = [
    ("GET", "/events"),
    ("POST", "/events/pause"),
    ("POST", "/events/resume"),
    ("GET", "/events/quarantine"),
    ("POST", "/events/reset"),
    ("POST", "/events/quarantine/replay"),
    ("POST", "/events/quarantine/discard"),
    ("GET", "/events/quarantine/download"),
    ("GET", "/events/quarantine/runs"),
    ("POST", "/events/quarantine/cancel"),
]


@pytest.fixture
def source(table: Table) -> Source:
    return Source.objects.create(tenant=table.tenant, name="events", table=table)


@pytest.fixture
def key(source: Source) -> str:
    return create_key(source.tenant, "operator", scopes=["manage"])[1]


def call(key: str, address: str = "", method: str = "GET") -> Any:
    return Client(raise_request_exception=False).generic(
        method, f"/api/v1/sources{address}", headers={"Authorization": f"Bearer {key}"}
    )


def test_a_source_in_figures_from_kafka_to_the_api(topic: Callable[..., Any], table: Table) -> None:
    stream = topic(2)
    source = stream.source(table, name="orders")
    _, key = create_key(table.tenant, "operator", scopes=["manage"])
    stream.send([b'{"n": %d}' % n for n in range(20)] + [b'{"n": -1}'])
    Slice(source.connection_id, seconds=1.3).run()
    stream.send([b'{"n": 1}'] * 4, partition=1)
    measure_connection(source.connection_id)

    (listed,) = call(key).json()["sources"]
    found = call(key, "/orders").json()
    assert set(found) - set(listed) == {"filter", "quarantine_limit", "partitions"}
    assert (listed["name"], listed["lag"], listed["landed"]) == ("orders", 4, 20)
    assert (found["name"], found["kind"], found["table"]) == ("orders", "kafka", "events")
    assert (found["lag"], found["landed"], found["quarantined"]) == (4, 20, 1)
    assert found["state"] in {"running", "waiting"}
    assert 0 < found["freshness_p50"] <= found["freshness_p95"] < 60
    assert found["events_per_second"] > 0
    assert found["bytes_per_second"] > 0
    assert (found["last_error"], found["quarantine_limit"]) == ("", 50)
    first, second = found["partitions"]
    assert (first["number"], first["position"], first["lag"]) == (0, 21, 0)
    assert (first["low_watermark"], first["high_watermark"]) == (0, 21)
    assert (second["number"], second["lag"], second["high_watermark"]) == (1, 4, 4)


@pytest.mark.parametrize(
    ("address", "method", "says"),
    [
        ("/events/pause?until=noon", "POST", "Unknown parameter 'until'"),
        ("/events/quarantine?reson=missing", "GET", "Unknown parameter 'reson'"),
        ("/events?x=1", "GET", "Unknown parameter 'x'"),
        ("?state=paused", "GET", "Unknown parameter 'state'"),
    ],
)
def test_a_parameter_that_there_is_not_is_refused_by_name(
    address: str, method: str, says: str, key: str, source: Source
) -> None:
    answer = call(key, address, method)
    assert (answer.status_code, answer.json()["code"]) == (400, "unknown_parameter")
    assert says in answer.json()["detail"]
    source.refresh_from_db()
    assert source.active


def test_pausing_and_resuming_take_effect_and_may_be_repeated(key: str, source: Source) -> None:
    for _ in range(2):
        assert call(key, "/events/pause", "POST").json()["state"] == "paused"
        source.refresh_from_db()
        assert not source.active
    before = source.counted_from
    for _ in range(2):
        assert call(key, "/events/resume", "POST").json()["state"] == "waiting"
        source.refresh_from_db()
        assert source.active
    assert source.counted_from > before


def test_why_millrace_paused_it_is_said_until_it_is_resumed(key: str, source: Source) -> None:
    sources.pause(source, "It did not fit.")
    assert call(key, "/events").json()["paused_reason"] == "It did not fit."
    # Pausing what is paused takes nothing of that away.
    assert call(key, "/events/pause", "POST").json()["paused_reason"] == "It did not fit."
    assert call(key, "/events/resume", "POST").json()["paused_reason"] == ""


def test_what_failed_is_said(key: str, source: Source) -> None:
    Source.objects.update(error="it broke", error_at=timezone.now(), attempts=1)
    found = call(key, "/events").json()
    assert (found["state"], found["last_error"]) == ("failing", "it broke")
    assert found["error_at"].endswith("Z")
    assert found["retry_at"] is not None


def test_misfits_by_reason_and_column(key: str, source: Source, table: Table) -> None:
    from ingestion.services.events import accept

    assert call(key, "/events/quarantine").json() == {
        "table": "events",
        "quarantine_days": 30,
        "groups": [],
    }
    accept(source, [b'{"n": -5}', b'{"n": -6}', b'{"s": "no n"}'])
    other = Source.objects.create(tenant=table.tenant, name="other", table=table)
    accept(other, [b'{"n": -7}'])
    Slice(None, seconds=0.8).run()
    first, second = call(key, "/events/quarantine").json()["groups"]
    assert (first["column"], first["messages"], first["expected"]) == ("n", 2, "UInt32")
    assert first["first_seen"] <= first["last_seen"]
    assert first["last_seen"].endswith("Z")
    assert first["example"] == {"value": "-6", "raw": '{"n": -6}', "partition": 0, "offset": 1}
    assert (second["column"], second["messages"]) == ("n", 1)
    assert second["reason"] != first["reason"]
    assert second["example"]["raw"] == '{"s": "no n"}'


def test_of_a_table_that_was_never_made_the_quarantine_is_empty(key: str, source: Source) -> None:
    Table.objects.update(applied=0)
    assert call(key, "/events/quarantine").json()["groups"] == []


def test_an_engine_that_refuses_is_told_as_a_problem(key: str, source: Source) -> None:
    database = source.tenant.warehouse.database
    warehouse.execute([f"DROP TABLE {database}.events__quarantine SYNC"])
    answer = call(key, "/events/quarantine")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert database not in answer.content.decode()


# --- Who may ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "address"), [("GET", ""), *ADDRESSES])
def test_a_key_without_the_scope_is_told_which(method: str, address: str, source: Source) -> None:
    _, key = create_key(source.tenant, "of old")
    answer = call(key, address, method)
    assert (answer.status_code, answer.json()["scope"]) == (403, "manage")
    source.refresh_from_db()
    assert source.active
    assert call("mr_wrong", address, method).status_code == 401


@pytest.mark.security
@pytest.mark.parametrize(("method", "address"), ADDRESSES)
def test_another_tenants_source_is_as_unknown_as_one_that_is_not(
    method: str, address: str, source: Source, tenant_factory: Callable[..., Tenant]
) -> None:
    _, key = create_key(tenant_factory("other"), "x", scopes=["manage"])
    there = call(key, address, method)
    nowhere = call(key, address.replace("events", "nothing"), method)
    assert there.status_code == nowhere.status_code == 404
    assert there.content == nowhere.content
    assert there.headers == nowhere.headers
    source.refresh_from_db()
    assert source.active
    assert call(key).json() == {"sources": []}


@pytest.mark.parametrize(("method", "address"), ADDRESSES)
def test_reading_changes_nothing_and_changing_is_a_post(
    method: str, address: str, key: str, source: Source
) -> None:
    other = "POST" if method == "GET" else "GET"
    assert call(key, address, other).status_code == 405
    assert source_status(Source.across_tenants.all())[0].state == "waiting"


def test_an_archived_source_is_neither_resumed_nor_sent_events(key: str, source: Source) -> None:
    removal.archive(source)
    assert "It is archived" in call(key, "/events").json()["paused_reason"]
    refused = call(key, "/events/resume", "POST")
    assert (refused.status_code, refused.json()["code"]) == (409, "source_archived")
    _, writer = create_key(source.tenant, "writer")
    answer = Client().post(
        "/api/v1/events/events",
        b"{}",
        content_type="application/json",
        headers={"Authorization": f"Bearer {writer}"},
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "source_archived")
    assert not Source.objects.get().active
