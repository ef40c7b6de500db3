"""Inference by the API: what it proposes, of what it reads, and who may."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from ingestion.models import Connection, Source, Table
from ingestion.services.events import accept
from tenants.models import Tenant
from tenants.rights import Rights
from tenants.services.keys import create_key


def call(key: str, body: dict[str, Any]) -> Any:
    return Client(raise_request_exception=False).post(
        "/api/v1/infer",
        json.dumps(body),
        content_type="application/json",
        headers={"Authorization": f"Bearer {key}"},
    )


@pytest.fixture
def source(table: Table) -> Source:
    made = Source.objects.create(tenant=table.tenant, name="web", table=table)
    accept(made, [b'{"n": 300, "s": null}'])
    return made


@pytest.fixture
def key(table: Table) -> str:
    return create_key(table.tenant, "operator", scopes=["manage"])[1]


def test_a_sample_and_a_source_are_proposed_a_table(key: str, source: Source) -> None:
    answer = call(key, {"sample": '{"day": "2012/01/01"}\n{"day": "2012/12/31"}\n[1]'}).json()
    (column,) = answer["columns"]
    assert (column["type"], column["format"]) == ("Date32", "%Y/%m/%d")
    assert column["evidence"]["smallest"] == '"2012/01/01"'
    assert (answer["messages"], answer["objects"]) == (3, 2)
    assert answer["others"] == {"not_an_object": 1}

    answer = call(key, {"source": "web"}).json()
    assert [column["name"] for column in answer["columns"]] == ["n"]
    assert [one["path"] for one in answer["left_out"]] == ["s"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "nothing_to_infer"),
        ({"sample": "x", "source": "web"}, 422, "nothing_to_infer"),
        ({"stream": "orders", "sample": "x"}, 422, "nothing_to_infer"),
        ({"sample": "[1]"}, 422, "nothing_to_infer"),
        ({"sample": "a,a\n1,2"}, 422, "nothing_to_infer"),
        ({"source": "nothing"}, 404, "not_found"),
        ({"connection": "away", "stream": "orders"}, 409, "stream_unreadable"),
    ],
)
def test_what_can_not_be_sampled_is_a_problem(
    body: dict[str, str], status: int, code: str, key: str, table: Table
) -> None:
    Connection.objects.create(
        tenant=table.tenant, name="away", kind="rabbitmq", addresses="127.0.0.1:1"
    )
    answer = call(key, body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    for hidden in ("infer-", "127.0.0.1", "Traceback"):
        assert hidden not in answer.content.decode()


def test_nothing_of_others_is_read(
    key: str, source: Source, tenant_factory: Callable[..., Tenant]
) -> None:
    other = tenant_factory()
    stranger = create_key(other, "operator", scopes=["manage"])[1]
    shared = Connection.objects.create(name="shared", kind="kafka", addresses="127.0.0.1:1")
    assert call(stranger, {"source": "web"}).status_code == 404
    assert call(key, {"connection": shared.name, "stream": "orders"}).status_code == 404
    reader = create_key(source.tenant, "reader", scopes=["queries:run"])[1]
    assert call(reader, {"sample": '{"a": 1}'}).status_code == 403
    rights = Rights(scopes=("manage", "queries:run"), row_filters={source.table.name: "n = 1"})
    filtered = create_key(source.tenant, "filtered", rights=rights)[1]
    assert call(filtered, {"source": "web"}).json()["code"] == "row_filter"
