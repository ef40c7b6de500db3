"""A source's page with its last hours, and the quarantine's with its groups."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from ingestion.consume.loop import Slice
from ingestion.models import Source, SourceMinute, StreamPartition, Table
from ingestion.services import sources
from ingestion.services.events import accept
from tenants.models import Tenant

pytestmark = pytest.mark.usefixtures("within_a_minute")
EVIL = b'{"n": "</td><script>alert(1)</script>"}'


@pytest.fixture
def table(tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]) -> Table:
    return table_factory(tenant_factory(), [{"name": "n", "type": "UInt32"}], sorting_key=["n"])


@pytest.fixture
def source(table: Table) -> Source:
    return Source.objects.create(tenant=table.tenant, name="events", table=table)


def change(operator: Client, source: Source, **query: str) -> Any:
    return operator.get(reverse("admin:ingestion_source_change", args=[source.pk]), query)


def minute(source: Source, back: int, **fields: Any) -> None:
    began_at = timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=back)
    SourceMinute.objects.create(source=source, began_at=began_at, **fields)


# --- A source's page ----------------------------------------------------------------------------


def test_charts_show_what_the_minutes_have(operator: Client, source: Source) -> None:
    minute(source, 10, rows=6_000, quarantined=600, bytes=1, lag=77, ages=[0, 6_000] + [0] * 24)
    throughput, lag, freshness = change(operator, source).context["charts"]
    assert throughput.series[0].values[-11] == 100
    assert throughput.series[1].values[-11] == 10
    assert lag.series[0].values[-11] == 77
    assert freshness.series[1].values[-11] == 0.15
    assert freshness.series[0].values[-10] is None
    page = change(operator, source).content.decode()
    assert "events 100/s, quarantined 10.0/s" in page
    assert "p50 0.15 s" in page


@pytest.mark.parametrize(
    ("asked", "hours", "columns"),
    [("", 3, 180), ("1", 1, 60), ("12", 12, 180), ("48", 48, 180), ("7", 3, 180), ("²", 3, 180)],
)
def test_how_far_back_may_be_chosen(
    asked: str, hours: int, columns: int, operator: Client, source: Source
) -> None:
    answer = change(operator, source, hours=asked)
    assert {one.width for one in answer.context["charts"]} == {columns}
    assert f'href="?hours={hours}"' not in answer.content.decode()
    starts = answer.context["charts"][0].starts
    assert timezone.now() - starts[0] <= timedelta(hours=hours)


def test_columns_of_several_minutes_are_their_mean_and_their_most(
    operator: Client, source: Source
) -> None:
    for back in range(64, 96):
        minute(source, back, rows=600, lag=back)
    throughput, lag, _ = change(operator, source, hours="48").context["charts"]
    assert max(throughput.series[0].values) == 10
    assert max(lag.series[0].values) == 95


def test_the_page_fetches_nothing_from_elsewhere(operator: Client, source: Source) -> None:
    page = change(operator, source).content.decode()
    assert "/static/millrace/admin.css" in page
    assert 'src="http' not in page
    assert 'rel="stylesheet" href="http' not in page


def test_why_it_was_paused_stands_on_its_page_until_it_is_resumed(
    operator: Client, source: Source
) -> None:
    sources.pause(source, "It did <b>not</b> fit.")
    assert "It did &lt;b&gt;not&lt;/b&gt; fit." in change(operator, source).content.decode()
    listed = operator.get(reverse("admin:ingestion_source_changelist")).content.decode()
    assert "It did &lt;b&gt;not&lt;/b&gt; fit." in listed
    operator.post(reverse("admin:ingestion_source_act", args=[source.pk, "resume"]))
    assert "not&lt;/b&gt; fit." not in change(operator, source).content.decode()


def test_activated_by_the_form_it_is_counted_anew_too(operator: Client, source: Source) -> None:
    sources.pause(source, "It did not fit.")
    before = source.counted_from
    form = {
        "name": source.name,
        "connection": "",
        "stream": "",
        "table": source.table_id,
        "start": "earliest",
        "quarantine_limit": "30",
        "active": "on",
    }
    address = reverse("admin:ingestion_source_change", args=[source.pk])
    answer = operator.post(address, form)
    assert answer.status_code == 302, answer.context["errors"]
    source.refresh_from_db()
    assert (source.active, source.paused_reason, source.quarantine_limit) == (True, "", 30)
    assert source.counted_from > before
    assert operator.post(address, form | {"quarantine_limit": "100"}).status_code == 200


def test_a_filter_is_checked_at_its_field_and_applied(operator: Client, source: Source) -> None:
    form = {
        "name": source.name,
        "connection": "",
        "stream": "",
        "table": source.table_id,
        "start": "earliest",
        "quarantine_limit": "30",
        "active": "on",
    }
    address = reverse("admin:ingestion_source_change", args=[source.pk])
    refused = operator.post(address, form | {"filter": "n >"})
    assert refused.status_code == 200
    assert "is missing at its end" in str(refused.context["adminform"].form.errors["filter"])
    generation = source.table.generation
    assert operator.post(address, form | {"filter": "n > 1"}).status_code == 302
    source.refresh_from_db()
    source.table.refresh_from_db()
    assert (source.filter, source.table.generation) == ("n > 1", generation + 1)
    assert "Filtered" in operator.get(address).content.decode()


def test_the_overview_tells_speed_and_freshness(operator: Client, source: Source) -> None:
    Source.objects.update(created_at=timezone.now() - timedelta(days=1))
    StreamPartition.objects.create(source=source, position=0, high_watermark=4_321)
    minute(source, 1, rows=60_000, ages=[0, 60_000] + [0] * 24)
    page = operator.get(reverse("admin:index")).content.decode()
    assert "4,321" in page
    assert "0.15 s / 0.20 s" in page


# --- The quarantine's page ----------------------------------------------------------------------


@pytest.fixture
def misfits(source: Source, table: Table) -> Source:
    """Two reasons from one source; another source has one of its own."""
    other = Source.objects.create(tenant=table.tenant, name="other", table=table)
    accept(source, [EVIL, EVIL, b'{"m": 1}'])
    accept(other, [b'{"n": -9}'])
    Slice(None, seconds=0.8).run()
    return other


def quarantine(operator: Client, table: Table, **query: Any) -> Any:
    return operator.get(reverse("admin:ingestion_table_quarantine", args=[table.pk]), query)


def test_groups_have_counts_times_and_an_example(
    operator: Client, misfits: Source, table: Table
) -> None:
    answer = quarantine(operator, table)
    page = answer.content.decode()
    rows = answer.context["rows"]
    assert [one.group.messages for one in rows] == [2, 1, 1]
    assert [one.percent for one in rows] == [50, 25, 25]
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert f"{rows[0].group.first_seen:%Y-%m-%d %H:%M:%S}" in page
    assert "30 days" in page


def test_a_group_leads_to_its_messages(operator: Client, misfits: Source, table: Table) -> None:
    for row in quarantine(operator, table).context["rows"]:
        address = reverse("admin:ingestion_table_quarantine", args=[table.pk])
        answer = operator.get(address + row.address)
        assert len(answer.context["misfits"]) == row.group.messages
        assert {one.reason for one in answer.context["misfits"]} == {row.group.reason}


def test_of_one_source_only_its_own_is_shown(
    operator: Client, misfits: Source, source: Source, table: Table
) -> None:
    page = change(operator, source).content.decode()
    assert f"/quarantine/?source={source.pk}" in page
    answer = quarantine(operator, table, source=misfits.pk)
    assert [one.raw for one in answer.context["misfits"]] == ['{"n": -9}']
    assert answer.context["total"] == 1


@pytest.mark.parametrize("asked", ["0", "99999999999999999999", "-1", "x", "1' OR 1", "²"])
def test_a_source_that_is_not_is_as_none(
    asked: str, operator: Client, misfits: Source, table: Table
) -> None:
    assert quarantine(operator, table, source=asked).context["total"] == 4


def test_a_source_of_another_table_is_as_none(
    operator: Client, misfits: Source, table: Table, table_factory: Callable[..., Table]
) -> None:
    elsewhere = table_factory(table.tenant, [{"name": "n", "type": "UInt8"}], name="elsewhere")
    stranger = Source.objects.create(tenant=table.tenant, name="stranger", table=elsewhere)
    assert quarantine(operator, table, source=stranger.pk).context["source"] is None
    assert quarantine(operator, elsewhere).context["rows"] == []
