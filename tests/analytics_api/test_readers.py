"""Which saved queries read a table, before it is deleted."""

from __future__ import annotations

from typing import Any

import pytest

from analytics_api.readers import readers
from tenants.warehouse import client
from tenants.warehouse.errors import WarehouseUnreachable


@pytest.fixture
def published(api: Any) -> Any:
    database = api.tenant.warehouse.database
    client.execute([f"CREATE TABLE {database}.eve (n UInt32) ENGINE = MergeTree ORDER BY n"])
    api.publish("direct", "SELECT n FROM events")
    api.publish("quarantined", "SELECT count() AS c FROM events__quarantine")
    api.publish("nested", "SELECT n FROM eve WHERE n IN (SELECT n FROM events)")
    api.publish("elsewhere", "SELECT n, 'events' AS word FROM eve")
    api.publish("shadowed", "WITH events AS (SELECT n FROM eve) SELECT n AS v FROM eve")
    chosen = {"from": {"allowed": ["eve", "events"]}}
    api.publish("chosen", "SELECT n FROM {from:Identifier}", parameters=chosen)
    draft = api.publish("taken_back", "SELECT who FROM events")
    type(draft).objects.filter(pk=draft.pk).update(published=None)
    return api


def test_queries_that_read_a_table_are_told_from_those_that_only_say_its_name(
    published: Any,
) -> None:
    found = readers(published.tenant, ["events", "events__quarantine"])
    assert found == ["chosen", "direct", "nested", "quarantined"]
    assert readers(published.tenant, ["events__quarantine"]) == ["quarantined"]
    assert "elsewhere" in readers(published.tenant, ["eve"])
    assert readers(published.tenant, ["nothing"]) == []


def test_while_clickhouse_is_away_rather_one_too_many_is_told(
    published: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise WarehouseUnreachable("ClickHouse does not answer.")

    monkeypatch.setattr(client, "rows", away)
    found = readers(published.tenant, ["events", "events__quarantine"])
    assert {"chosen", "direct", "nested", "quarantined"} <= set(found)
    assert "taken_back" not in found


def test_of_another_tenants_queries_nothing_is_told(published: Any, api_factory: Any) -> None:
    assert readers(api_factory("other").tenant, ["events"]) == []
