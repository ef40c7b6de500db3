"""A file is uploaded in a browser, and a worker loads it while its page shows the progress.

With ``SCREENSHOTS=1`` each step leaves a picture in ``tests/screenshots``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.pictures import shoot

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]

ROWS = 400_000
FILL = """
from ingestion.models import Column, Table
from ingestion.provision import provision_table
from tenants.provisioning.warehouse import provision
from tenants.services.tenants import make

tenant = make("shop")
provision(tenant.warehouse)
table = Table.objects.create(tenant=tenant, name="orders", sorting_key=["id"])
Column.objects.create(table=table, name="id", type="UInt64")
Column.objects.create(table=table, name="total", type="Nullable(Decimal(12, 2))", required=False)
provision_table(table)
print(table.pk)
"""


@pytest.fixture(scope="module")
def running(installation: Any) -> Any:
    names = ("web", "worker-default", "worker-backfill", "beat")
    installation.start("postgres", "clickhouse", "valkey", *names)
    return installation


def test_a_file_is_uploaded_and_its_page_shows_the_progress(
    running: Any, page: Page, tmp_path: Path
) -> None:
    table = running.python(FILL).strip()
    file = tmp_path / "orders-2025.csv"
    bad = {17, 4_242}
    file.write_text(
        "id,total\n" + "".join(f"{n},{'x' if n in bad else n / 4}\n" for n in range(ROWS))
    )
    web = running.urls["WEB_URL"]
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{web}/admin/ingestion/table/{table}/change/")
    page.get_by_role("link", name="Load files").click()
    page.locator("input[type=file]").set_input_files(file)
    assert page.get_by_label("Delimiter").input_value() == ""
    shoot(page, "load-form")
    page.get_by_role("button", name="Load", exact=True).click()
    page.get_by_text("orders-2025.csv is being loaded into").wait_for()
    shoot(page, "load-begun")
    # The page loads itself again.
    page.get_by_text("399,998 rows landed, 2 are in quarantine").wait_for(timeout=600_000)
    shoot(page, "load-done")
    address = page.url
    page.set_viewport_size({"width": 390, "height": 844})
    for place in (address, f"{web}/admin/ingestion/table/{table}/load/"):
        page.goto(place)
        shoot(page, f"load-narrow-{place.rstrip('/').rpartition('/')[2]}")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), place
    assert problems == []
