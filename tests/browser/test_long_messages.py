"""Pages that show messages as they came keep their width, however long these are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

#: A source with one message of each kind that is hard to break, by offset.
FILL = """
import json
from ingestion.services.events import accept
from ingestion.consume.loop import Slice
from ingestion.models import Column, Source, Table
from ingestion.provision import provision_table
from tenants.models import Tenant
from tenants.services.warehouses import create_warehouse
from tenants.provisioning.warehouse import provision

tenant = Tenant.objects.create(slug="shop", name="The Shop")
provision(create_warehouse(tenant))
table = Table.objects.create(tenant=tenant, name="orders", sorting_key=["id"])
states = ", ".join(f"'a_rather_long_state_of_an_order_{number}' = {number}" for number in range(4))
for place, (name, kind) in enumerate((
    ("id", "UInt64"), ("note", "String"), ("state_" + "of_the_order_" * 4, f"Enum8({states})"),
)):
    Column.objects.create(table=table, name=name, type=kind, position=place)
provision_table(table)
table.refresh_from_db()
assert table.applied, table.error
source = Source.objects.create(tenant=tenant, name="orders", table=table)
state = table.columns.last().name
good = {"id": 1, "note": "x", state: "a_rather_long_state_of_an_order_1"}
accept(source, [json.dumps(one).encode() for one in (
    good | {"note": "x" * 60_000},
    good | {"id": "9" * 60_000},
    good | {state: "y" * 60_000},
    good | {"id": -1, "note": "https://example.com/" + "a/b?c=d&" * 5_000},
    good | {"id": -1, "note": "\\u202e" + "\\u6f22" * 20_000},
)])
Slice(None, seconds=2).run()
print(source.pk, table.pk)
"""
MESSAGES = 5

#: What is wider than the room that it has; the page itself, or a box of it that would scroll.
TOO_WIDE = """() => [document.documentElement, ...document.querySelectorAll("#content, #content *")]
    .filter(one => one.tagName !== "INPUT" && one.tagName !== "TEXTAREA")
    .filter(one => one.clientWidth && one.scrollWidth > one.clientWidth + 1)
    .map(one => `${one.tagName} ${one.className}: ${one.scrollWidth} of ${one.clientWidth}`)"""


@pytest.fixture(scope="module")
def running(installation: Any) -> Any:
    installation.start("postgres", "clickhouse", "valkey", "web")
    return installation


@pytest.fixture(scope="module")
def keys(running: Any) -> list[str]:
    """Of the source and of its table."""
    made: list[str] = running.python(FILL).split()
    return made


def test_a_message_that_was_found_is_no_wider_than_the_page(
    running: Any, keys: list[str], page: Page
) -> None:
    at = f"{running.urls['WEB_URL']}/admin/ingestion/source/{keys[0]}/find/"
    for offset in range(MESSAGES):
        page.goto(f"{at}?partition=0&offset={offset}")
        words = "In the table" if offset == 0 else "In quarantine"
        assert words in page.inner_text("#content"), offset
        assert page.evaluate(TOO_WIDE) == [], offset
    page.goto(f"{at}?id={'z' * 240}")
    assert "No row of this message was found" in page.inner_text("#content")
    assert page.evaluate(TOO_WIDE) == []


def test_the_quarantine_is_no_wider_than_the_page(
    running: Any, keys: list[str], page: Page
) -> None:
    page.goto(f"{running.urls['WEB_URL']}/admin/ingestion/table/{keys[1]}/quarantine/")
    assert "999999" in page.inner_text("#content")
    assert page.evaluate(TOO_WIDE) == []
    page.click("table a:has-text('out_of_range')")
    page.wait_for_url("**reason=**")
    assert page.evaluate(TOO_WIDE) == []
