"""What an operator sees of a source that was paused: why, its last hours, what did not fit.

With ``SCREENSHOTS=1`` each step leaves a picture in ``tests/screenshots``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.pictures import shoot

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

#: A source with two days behind it, paused by Millrace since a release an hour ago.
FILL = """
import math
from datetime import timedelta
from django.utils import timezone
from ingestion.services.events import accept
from ingestion.monitoring.freshness import BUCKETS
from ingestion.consume.loop import Slice
from ingestion.models import Column, Source, SourceMinute, StreamPartition, Table
from ingestion.provision import provision_table
from ingestion.services import sources
from tenants.models import Tenant
from tenants.services.warehouses import create_warehouse
from tenants.provisioning.warehouse import provision

tenant = Tenant.objects.create(slug="shop", name="The Shop")
provision(create_warehouse(tenant))
table = Table.objects.create(tenant=tenant, name="orders", sorting_key=["id"])
Column.objects.create(table=table, name="id", type="UInt64")
Column.objects.create(table=table, name="total", type="Decimal(12, 2)", position=1)
provision_table(table)
source = Source.objects.create(tenant=tenant, name="orders", table=table)
Source.objects.create(tenant=tenant, name="refunds", table=table)
good = b'{"id": 1, "total": 1.5}'
bad = [b'{"id": 7, "total": "<script>document.title=1</script>"}', b'{"id": -1, "total": 1}']
accept(source, [good] * 40 + bad * 30 + [b'{"total": 2}'] * 4)
Slice(None, seconds=1.5).run()
sources.pause(source, "930 of the last 1,204 messages (77%) did not fit orders, more than the "
    "limit of 50 %: mostly wrong_type in total. Unread messages stay at the broker. "
    "Correct the table or the sender, then resume the source: counting starts again from zero.")
now = timezone.now().replace(second=0, microsecond=0)
SourceMinute.across_tenants.all().delete()
def ages(rows, slow):
    spread = [0] * BUCKETS
    for bucket, share in zip((3, 4, 5, 7 + slow, 9 + slow), (.2, .35, .3, .1, .05)):
        spread[bucket] += int(rows * share)
    return spread
def minute(back):
    if back < 12:
        return dict(lag=(12 - back) * 5200, lag_seconds=(12 - back) * 60.0)
    rows = int(5000 + 2500 * math.sin(back / 40) + 700 * math.sin(back * 1.7))
    misfits = int(rows * .77) if back < 20 else int(rows * .01)
    lag = max(0, 9000 - abs(back - 90) * 700)
    return dict(rows=rows, quarantined=misfits, bytes=rows * 160, lag=lag,
        lag_seconds=lag / 90, ages=ages(rows, 6 if lag else 0))
SourceMinute.objects.bulk_create(
    SourceMinute(source=source, began_at=now - timedelta(minutes=back), **minute(back))
    for back in range(2880) if not 130 < back < 140)
Source.across_tenants.update(created_at=now - timedelta(days=3))
StreamPartition.across_tenants.filter(source=source).update(high_watermark=62474, landed=8_201_553)
print(source.pk)
"""


@pytest.fixture(scope="module")
def running(installation: Any) -> Any:
    installation.start("postgres", "clickhouse", "valkey", "web")
    return installation


@pytest.fixture(scope="module")
def key(running: Any) -> str:
    """Of the source."""
    return running.python(FILL).strip()


def test_from_the_reason_to_the_messages_and_on_again(running: Any, key: str, page: Page) -> None:
    web = running.urls["WEB_URL"]
    asked: list[str] = []
    problems: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: problems.append(str(error)))

    page.goto(f"{web}/admin/ingestion/source/")
    assert "paused" in page.inner_text("#result_list").lower()
    shoot(page, "operating-sources")
    page.goto(f"{web}/admin/ingestion/source/{key}/change/")
    assert "930 of the last 1,204 messages" in page.inner_text("[role=status]")
    _charts_are_drawn(page)
    shoot(page, "operating-source")
    page.click("nav a:has-text('48 hours')")
    page.wait_for_url("**/?hours=48")
    assert page.locator("figure").first.locator("rect").count() == 180
    shoot(page, "operating-source-two-days")
    page.emulate_media(color_scheme="dark")
    page.evaluate("document.documentElement.classList.add('dark')")
    shoot(page, "operating-source-dark")

    page.goto(f"{web}/admin/ingestion/source/{key}/change/")
    page.click("a[href*='/quarantine/?source=']")
    page.wait_for_url("**/quarantine/?source=*")
    _groups_lead_to_their_messages(page)

    page.goto(f"{web}/admin/ingestion/source/{key}/change/")
    page.click("button:has-text('Resume')")
    page.get_by_text("continues where it was paused").first.wait_for()
    assert page.locator("[role=status]:has-text('Paused by Millrace')").count() == 0

    assert [url for url in asked if not url.startswith((web, "data:"))] == []
    assert problems == []


def _charts_are_drawn(page: Page) -> None:
    assert page.locator("figure").count() == 3
    for number in range(3):
        figure = page.locator("figure").nth(number)
        drawn = figure.locator("path").last.bounding_box()
        plot = figure.locator("svg").bounding_box()
        assert drawn is not None
        assert plot is not None
        assert drawn["width"] > plot["width"] / 2
        assert drawn["height"] > 1
        assert drawn["height"] <= plot["height"] + 2
    words = page.locator("figure rect title").first.text_content()
    assert words is not None
    assert "UTC: " in words
    assert "events" in words


def _groups_lead_to_their_messages(page: Page) -> None:
    text = page.inner_text("#content")
    assert "kept for 30 days" in text
    assert "<script>" in text
    assert page.title() != "1"
    shoot(page, "operating-quarantine")
    page.click("table a:has-text('missing')")
    page.wait_for_url("**reason=missing**")
    chosen = page.locator("table").nth(1).inner_text()
    assert '{"total": 2}' in chosen
    assert '{"id": -1' not in chosen
    page.click("nav a:has-text('refunds')")
    page.get_by_text("The quarantine is empty").wait_for()
    assert "every message fitted" in page.inner_text("#content")


def test_a_position_is_moved_after_a_look_and_a_message_is_found(
    running: Any, key: str, page: Page
) -> None:
    web = running.urls["WEB_URL"]
    page.goto(f"{web}/admin/ingestion/source/{key}/change/")
    page.click("a:has-text('Find')")
    page.fill("#id_offset", "41")
    page.click("main button:has-text('Find'), #content button:has-text('Find')")
    assert "In quarantine" in page.inner_text("#content")
    shoot(page, "operating-find")
    page.goto(f"{web}/admin/ingestion/source/{key}/reset/")
    page.select_option("#id_to", "end")
    page.click("button:has-text('Preview')")
    assert "62474" in page.inner_text("#content").replace(",", "")
    shoot(page, "operating-reset")
    page.click("button:has-text('Reset shop.orders')")
    page.wait_for_url("**/change/")
    assert "was reset" in page.inner_text("body")
