"""One bad field is mended in a browser: a group, a repair, a dry run, a replay.

With ``SCREENSHOTS=1`` each step leaves a picture in ``tests/screenshots``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.pictures import shoot

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]

FILL = """
from ingestion.consume.loop import Slice
from ingestion.models import Batch, Column, Source, Table
from ingestion.provision import provision_table
from ingestion.services.events import accept
from tenants.provisioning.warehouse import provision
from tenants.services.tenants import make

tenant = make("shop")
provision(tenant.warehouse)
table = Table.objects.create(tenant=tenant, name="orders", sorting_key=["id"])
Column.objects.create(table=table, name="id", type="UInt64")
Column.objects.create(table=table, name="total", type="Nullable(Decimal(12, 2))", required=False)
provision_table(table)
table.refresh_from_db()
source = Source.objects.create(tenant=tenant, name="till", table=table)
accept(source, [b'{"id": %d, "total": "n/a"}' % n for n in range(40)] + [b'{"total": 2}'] * 4)
while Batch.across_tenants.exclude(state="settled").exists() or not Batch.across_tenants.exists():
    Slice(None, seconds=0.5).run()
print(table.pk)
"""
ROWS = """
from ingestion.landing.addresses import place_of
from ingestion.models import Table
from tenants.warehouse import client
at = place_of(Table.across_tenants.select_related("tenant__warehouse").get())
print([len(client.rows(f"SELECT 1 FROM {name}")) for name in (at.table, at.quarantine)])
"""


@pytest.fixture(scope="module")
def running(installation: Any) -> Any:
    installation.start("postgres", "clickhouse", "valkey", "web", "worker-default", "beat")
    return installation


def test_a_bad_field_is_tried_and_replayed(running: Any, page: Page) -> None:
    table = running.python(FILL).strip()
    web = running.urls["WEB_URL"]
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{web}/admin/ingestion/table/{table}/quarantine/")
    page.get_by_role("link", name="wrong_type").click()
    page.get_by_label("Repair").fill("""replaceOne(raw, '"n/a"', 'null')""")
    page.get_by_role("button", name="Try it").click()
    page.get_by_text("40 of 40").wait_for()
    shoot(page, "mend-tried")
    page.get_by_role("button", name="Replay what fits").click()
    page.get_by_text("40 messages are being replayed.").wait_for()
    done = page.get_by_role("cell", name="40 of 40")
    while not done.count():
        page.reload()
    shoot(page, "mend-replayed")
    assert running.python(ROWS).strip() == "[40, 4]"
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{web}/admin/ingestion/table/{table}/quarantine/")
    shoot(page, "mend-narrow")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert problems == []
