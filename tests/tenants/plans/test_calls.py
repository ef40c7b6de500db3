"""Plans before the endpoints: what a caller is told, what ClickHouse is told, what is counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from analytics_api.models import SavedQuery
from analytics_api.services.saved_queries import publish
from ingestion.models import Source, Table
from tenants.models import LIMITS, Plan, Scope, Tenant, Usage
from tenants.plans import line
from tenants.plans.allowance import PlanLimits, allowance, forget
from tenants.provisioning.warehouse import provision
from tenants.rest import authentication
from tenants.services.keys import create_key
from tenants.services.plans import give_plan, make_plan
from tenants.tasks import reconcile
from tenants.usage.call_tally import tally
from tenants.warehouse import client


@pytest.fixture(autouse=True)
def fresh(valkey: str) -> Iterator[None]:
    line.forget()
    line._away_until = 0.0
    tally.begin()
    forget()
    yield
    forget()


@pytest.fixture
def table(tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]) -> Table:
    table = table_factory(tenant_factory(), [{"name": "n", "type": "UInt32"}], sorting_key=["n"])
    database = table.tenant.warehouse.database
    client.execute([f"INSERT INTO {database}.events (n) SELECT number FROM numbers(50)"])
    query = SavedQuery.objects.create(
        tenant=table.tenant, name="all", sql="SELECT sum(n) AS c FROM events"
    )
    publish(query)
    Source.objects.create(tenant=table.tenant, name="events", table=table)
    return table


class Calls:
    def __init__(self, tenant: Tenant, *scopes: str) -> None:
        self.row, key = create_key(tenant, "test", scopes=scopes)
        self.headers = {"Authorization": f"Bearer {key}"}
        self.client = Client(raise_request_exception=False)

    def get(self, path: str) -> Any:
        return self.client.get(f"/api/v1/{path}", headers=self.headers)

    def send(self, body: str, **headers: str) -> Any:
        return self.client.post(
            "/api/v1/events/events",
            body,
            content_type="application/x-ndjson",
            headers=self.headers | headers,
        )


@pytest.fixture
def calls(table: Table) -> Calls:
    return Calls(table.tenant, *Scope.values)


def plan_for(tenant: Tenant, **limits: int | None) -> Plan:
    plan = make_plan(f"of {tenant.slug}", dict(limits))
    give_plan(tenant, plan)
    return plan


def test_a_plan_has_a_limit_for_each_of_its_fields() -> None:
    assert set(LIMITS) == set(PlanLimits.__dataclass_fields__)


def test_answers_tell_the_limits_and_a_429_says_which_its_value_and_when_it_lifts(
    table: Table, calls: Calls
) -> None:
    assert "RateLimit" not in calls.get("queries/all").headers
    plan_for(table.tenant, requests_a_minute=2, concurrent_queries=5)
    first = calls.get("queries/all")
    assert first.status_code == 200
    assert first["RateLimit-Policy"] == (
        '"requests_a_minute";q=2;w=60, "concurrent_queries";q=5;qu="concurrent-requests"'
    )
    assert first["RateLimit"] == '"requests_a_minute";r=1;t=60, "concurrent_queries";r=4'
    missing = calls.get("queries/none")
    assert (missing.status_code, missing["RateLimit"][:26]) == (404, '"requests_a_minute";r=0;t=')
    refused = calls.get("queries/all")
    assert refused.status_code == 429
    assert refused["Content-Type"] == "application/problem+json"
    told = refused.json()
    assert (told["code"], told["limit"], told["value"]) == (
        "limit_reached", "requests_a_minute", 2
    )  # fmt: skip
    assert 1 <= int(refused["Retry-After"]) <= 60
    assert "2 requests a minute" in told["detail"]
    lifts = timezone.datetime.fromisoformat(told["lifts_at"])
    assert 0 <= (lifts - timezone.now()).total_seconds() <= 61
    assert refused["RateLimit"].startswith('"requests_a_minute";r=0;')


def test_a_query_gives_its_slot_back_however_it_ends(table: Table, calls: Calls) -> None:
    plan_for(table.tenant, concurrent_queries=1)
    for path, status in (("all", 200), ("all?x=1", 400), ("none", 404), ("all", 200)):
        assert calls.get(f"queries/{path}").status_code == status


def test_a_tenant_that_is_over_does_not_stop_another(
    table: Table, calls: Calls, tenant_factory: Callable[..., Tenant]
) -> None:
    plan = plan_for(table.tenant, requests_a_minute=1)
    other = tenant_factory("other")
    give_plan(other, plan)
    assert calls.get("queries").status_code == 200
    assert calls.get("queries").status_code == 429
    assert Calls(other).get("queries").status_code == 200


def test_events_over_the_day_are_refused_whole_and_what_was_not_taken_does_not_count(
    table: Table, calls: Calls
) -> None:
    plan_for(table.tenant, events_a_day=3)
    assert calls.send('{"n": 1}\nbroken\n{"n": 2}').status_code == 400
    assert calls.send('{"n": 1}\n{"n": 2}', **{"Idempotency-Key": "a"}).status_code == 202
    replayed = calls.send('{"n": 1}\n{"n": 2}', **{"Idempotency-Key": "a"})
    assert replayed.status_code in {202, 429}
    refused = calls.send('{"n": 3}\n{"n": 4}')
    assert refused.status_code == 429
    assert (refused.json()["limit"], refused.json()["value"]) == ("events_a_day", 3)
    assert 0 < int(refused["Retry-After"]) <= 86_401
    assert calls.send('{"n": 3}').status_code == 202
    make_plan(f"of {table.tenant.slug}", {"events_a_day": 5})
    assert calls.send('{"n": 4}\n{"n": 5}').status_code == 202
    assert calls.send('{"n": 6}').status_code == 429
    tally.flush()
    (row,) = Usage.objects.filter(tenant=table.tenant)
    assert (row.events, row.bytes, row.key) == (5, 17 + 8 + 17, calls.row)


def test_rows_of_a_query_are_limited_by_clickhouse_itself(table: Table, calls: Calls) -> None:
    plan_for(table.tenant, rows_a_query=10)
    warehouse = table.tenant.warehouse
    provision(warehouse)
    warehouse.refresh_from_db()
    assert warehouse.limits["max_rows_to_read"] == 10
    forget()
    authentication.forget()
    refused = calls.get("queries/all")
    assert refused.status_code == 422
    assert (refused.json()["limit"], refused.json()["value"]) == ("rows read", 10)
    give_plan(table.tenant, None)
    reconcile()
    warehouse.refresh_from_db()
    provision(warehouse)
    forget()
    assert calls.get("queries/all").status_code == 200


def test_bytes_of_a_query_are_limited_too(table: Table, calls: Calls) -> None:
    plan_for(table.tenant, bytes_a_query=100)
    warehouse = table.tenant.warehouse
    provision(warehouse)
    forget()
    refused = calls.get("queries/all")
    assert refused.status_code == 422
    assert (refused.json()["limit"], refused.json()["value"]) == ("bytes read", 100)


def test_the_rows_of_a_day_end_with_the_query_that_read_the_last(
    table: Table, calls: Calls
) -> None:
    plan_for(table.tenant, rows_read_a_day=100)
    for status in (200, 200, 429):
        assert calls.get("queries/all").status_code == status
        tally.flush()
        forget()
    assert calls.get("queries").status_code == 200


def test_calls_are_counted_by_day_and_key(table: Table, calls: Calls) -> None:
    other = Calls(table.tenant, "queries:run")
    for one, path in ((calls, "queries/all"), (calls, "queries/none"), (other, "queries/all")):
        one.get(path)
    other.get("usage")
    tally.flush()
    rows = {one.key_id: one for one in Usage.objects.filter(tenant=table.tenant)}
    mine, theirs = rows[calls.row.pk], rows[other.row.pk]
    assert (mine.requests, mine.errors, mine.queries) == (2, 1, 1)
    assert (theirs.requests, theirs.errors, theirs.queries) == (2, 1, 1)
    assert mine.rows_read == theirs.rows_read == 50
    assert mine.bytes_read == 200


def test_rows_read_for_a_large_result_are_all_counted(table: Table, calls: Calls) -> None:
    query = SavedQuery.objects.create(
        tenant=table.tenant, name="many", sql="SELECT number, toString(number) FROM numbers(300000)"
    )
    publish(query)
    assert calls.get("queries/many.csv").status_code == 200
    tally.flush()
    assert Usage.objects.get(tenant=table.tenant).rows_read == 300_000


def test_usage_and_plan_are_told_by_the_api_and_the_commands(
    table: Table, calls: Calls, capsys: pytest.CaptureFixture[str]
) -> None:
    slug = table.tenant.slug
    call_command("plan", "set", f"small {slug}", "--requests-a-minute", "1_000")
    call_command("plan", "give", slug, f"small {slug}")
    calls.get("queries/all")
    tally.flush()
    usage = calls.get("usage").json()
    (line_,) = usage["days"]
    assert (line_["requests"], line_["rows_read"]) == (1, 50)
    assert line_["key"] == f"mr_{calls.row.prefix}"
    assert usage["total"]["queries"] == 1
    answer = calls.get("usage?format=csv")
    assert answer["Content-Type"].startswith("text/csv")
    heading, row = answer.content.decode().splitlines()
    assert heading.startswith("tenant,day,key,key_name,requests,errors")
    assert row.startswith(f"{slug},{usage['to']},mr_{calls.row.prefix},test,1,0,1,50,")
    plan = calls.get("plan").json()
    assert plan["plan"] == f"small {slug}"
    assert plan["limits"]["requests_a_minute"] == 1_000
    assert plan["limits"]["events_a_day"] is None
    assert plan["hold"] is None
    assert plan["today"]["queries"] == 1
    capsys.readouterr()
    call_command("plan", "list")
    call_command("plan", "show", slug)
    call_command("usage", slug, "--csv")
    said = capsys.readouterr().out
    assert "requests_a_minute 1,000" in said
    assert f"mr_{calls.row.prefix}" in said
    call_command("plan", "set", f"small {slug}", "--requests-a-minute", "none")
    assert allowance(table.tenant_id).limits == PlanLimits()


@pytest.mark.parametrize("query", ["from=yesterday", "to=", "format=x", "format="])
def test_days_that_are_no_days_are_refused(query: str, calls: Calls) -> None:
    assert calls.get(f"usage?{query}").status_code == 400


@pytest.mark.parametrize(
    "query", ["from=2026-02-01&to=2026-01-01", "from=0001-01-01&to=9999-12-31", "to=0001-01-01"]
)
def test_days_that_can_not_be_told_are_refused(query: str, calls: Calls) -> None:
    assert calls.get(f"usage?{query}").status_code == 422


def test_a_key_without_the_scope_sees_no_usage_and_one_of_another_tenant_none_of_ours(
    table: Table, calls: Calls, tenant_factory: Callable[..., Tenant]
) -> None:
    calls.get("queries/all")
    tally.flush()
    other = Calls(tenant_factory("other"), "manage")
    assert other.get("usage").json()["days"] == []
    assert Calls(table.tenant, "queries:run").get("plan").status_code == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("post", one) for one in ("events/events", "queries/all", "sources/events/reset")),
        *(("post", one) for one in ("sources/events/pause", "sources/events/resume")),
        *(("post", one) for one in ("sources/events/archive", "tables/events/delete")),
        ("get", "usage"),
    ],
)
def test_a_body_that_is_too_large_is_refused_unread_everywhere(
    method: str, path: str, calls: Calls, settings: Any
) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    answer = calls.client.generic(
        method.upper(), f"/api/v1/{path}", b'{"a": "' + b"x" * 100 + b'"}',
        content_type="application/json", headers=calls.headers,
    )  # fmt: skip
    assert answer.status_code == 413
    assert answer["Content-Type"] == "application/problem+json"
    assert (answer.json()["code"], answer.json()["limit"]) == ("body_too_large", 100)
