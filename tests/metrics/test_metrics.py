"""``/metrics``: who may scrape it, that Prometheus can read it, and that its page names all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain

from ingestion.models import BackfillRun, Source, SourceMinute, StreamPartition, Table
from millrace.metrics.catalogue import METRICS, RUNS
from tenants.models import Tenant
from tests.documentation import ROOT

PAGE = (ROOT / "docs" / "reference" / "metrics.md").read_text()
TOKEN = "a-token-of-the-operators"


@pytest.fixture(autouse=True)
def token(settings: Any) -> None:
    settings.MILLRACE_METRICS_TOKEN = TOKEN


def scrape(token: str = TOKEN, **headers: str) -> Any:
    return Client().get("/metrics", headers={"Authorization": f"Bearer {token}", **headers})


def samples(answer: Any) -> dict[tuple[str, str, str], float]:
    """By name, source and further label."""
    found = {}
    for family in plain(answer.content.decode()):
        for one in family.samples:
            further = one.labels.get("state") or one.labels.get("quantile") or ""
            found[one.name, one.labels["source"], further] = one.value
    return found


@pytest.fixture
def source(db: None, unique: Callable[[str], str]) -> Source:
    tenant = Tenant.objects.create(slug=unique("acme"), name="Acme")
    table = Table.objects.create(tenant=tenant, name="t", state="ready", applied=1)
    source = Source.objects.create(tenant=tenant, name="events", table=table, attempts=3)
    now = timezone.now()
    StreamPartition.objects.create(
        source=source, position=7, high_watermark=10, landed=5, quarantined=2, bytes=700, lost=1,
        last_event_at=now - timedelta(seconds=60),
    )  # fmt: skip
    # 0.4 to 0.5 s: the fifth of the counts.
    SourceMinute.objects.create(source=source, began_at=now, rows=7, ages=[0] * 4 + [7] + [0] * 21)
    return source


def test_what_a_scrape_says(source: Source) -> None:
    found = samples(scrape())
    assert found["millrace_source_state", "events", "failing"] == 1
    assert found["millrace_source_state", "events", "running"] == 0
    assert found["millrace_source_lag_messages", "events", ""] == 3
    assert 60 <= found["millrace_source_lag_seconds", "events", ""] < 90
    assert 60 <= found["millrace_source_newest_event_age_seconds", "events", ""] < 90
    assert 0.4 < found["millrace_source_freshness_seconds", "events", "0.5"] < 0.5
    assert 0.4 < found["millrace_source_freshness_seconds", "events", "0.95"] < 0.5
    assert found["millrace_source_landed_rows_total", "events", ""] == 5
    assert found["millrace_source_quarantined_rows_total", "events", ""] == 2
    assert found["millrace_source_read_bytes_total", "events", ""] == 700
    assert found["millrace_source_lost_messages_total", "events", ""] == 1
    assert found["millrace_source_failures_in_a_row", "events", ""] == 3
    assert {name for name, _, _ in found} == {one.name for one in METRICS}


def test_backfill_runs_are_counted_by_state(source: Source) -> None:
    for state in ("failed", "failed", "queued"):
        BackfillRun.objects.create(table=source.table, name="a.csv", state=state)
    tenant = source.tenant.slug
    text = scrape().content.decode()
    assert f'{RUNS}{{state="failed",tenant="{tenant}"}} 2.0' in text
    assert f'{RUNS}{{state="queued",tenant="{tenant}"}} 1.0' in text
    assert f"`{RUNS}` is a gauge" in PAGE


def test_what_nobody_knows_is_left_out(source: Source) -> None:
    SourceMinute.objects.all().delete()
    StreamPartition.objects.update(last_event_at=None, position=None)
    found = samples(scrape())
    assert found["millrace_source_lag_messages", "events", ""] == 10
    names = {name for name, _, _ in found}
    assert "millrace_source_lag_seconds" not in names
    assert "millrace_source_freshness_seconds" not in names


def test_a_scraper_that_asks_for_openmetrics_gets_it(source: Source) -> None:
    answer = scrape(Accept="application/openmetrics-text; version=1.0.0")
    assert answer["Content-Type"].startswith("application/openmetrics-text")
    names = {family.name for family in open_metrics(answer.content.decode())}
    assert "millrace_source_landed_rows" in names


def test_more_sources_ask_no_more_questions(source: Source, django_assert_num_queries: Any) -> None:
    for number in range(20):
        other = Source.objects.create(tenant=source.tenant, name=f"s{number}", table=source.table)
        StreamPartition.objects.create(source=other)
    with django_assert_num_queries(3):
        assert scrape().status_code == 200


@pytest.mark.security
@pytest.mark.parametrize(
    "header", ["", f"Bearer {TOKEN}x", "Bearer ", f"Basic {TOKEN}", TOKEN, "Bearer ä"]
)
def test_without_the_token_nothing_is_told(header: str, source: Source) -> None:
    answer = Client().get("/metrics", headers={"Authorization": header} if header else {})
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert b"events" not in answer.content


@pytest.mark.security
@pytest.mark.parametrize("token", ["", TOKEN])
def test_where_no_token_is_set_there_is_nothing(token: str, settings: Any, source: Source) -> None:
    settings.MILLRACE_METRICS_TOKEN = ""
    assert scrape(token).status_code == 404


def test_it_is_read_and_never_sent_to(source: Source) -> None:
    answer = Client().post("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 405


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_is_documented_with_its_meaning(metric: Any) -> None:
    name = f"`{metric.name}`" + (f" (`{metric.label}`)" if metric.label else "")
    assert f"| {name} | {metric.meaning} |" in PAGE
    assert metric.name.endswith("_total") == (metric.kind == "counter")
