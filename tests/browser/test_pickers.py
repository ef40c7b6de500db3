"""Pickers of a form follow the tenant that is chosen in it, and find what they show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
MADE = """
from ingestion.models import Connection, Table
from tenants.models import Tenant
for slug in ("bakery", "shop"):
    tenant = Tenant.objects.create(slug=slug, name=slug.title())
    Table.objects.create(tenant=tenant, name="orders")
    Connection.objects.create(tenant=tenant, name="kafka", kind="kafka", addresses="k:1")
Connection.objects.create(name="everyones", kind="kafka", addresses="k:1")
"""


@pytest.fixture(scope="module")
def running(installation: Any) -> Any:
    installation.start("postgres", "clickhouse", "valkey", "web")
    installation.python(MADE)
    return installation


def offered(page: Page, field: str, text: str = "", choose: str = "") -> list[str]:
    """What a picker offers when ``text`` is typed; ``choose`` is picked."""
    # To open it asks for all. The first key after an Escape goes unnoticed: type, and do not fill.
    with page.expect_response(lambda answer: "/autocomplete/" in answer.url):
        page.click(f"#id_{field} + .select2 .select2-selection")
    if text:
        page.wait_for_selector(".select2-results__option:not(.loading-results)")
        with page.expect_response(lambda answer: "/autocomplete/" in answer.url):
            page.type(".select2-container--open .select2-search__field", text)
    found = page.locator(".select2-results__option[role=option]:not(.loading-results)")
    page.wait_for_selector(".select2-results__option:not(.loading-results)")
    names = [one for one in found.all_inner_texts() if one != "No results found"]
    if choose:
        found.filter(has_text=choose).first.click()
    else:
        page.keyboard.press("Escape")
    return names


def test_pickers_follow_the_chosen_tenant(running: Any, page: Page) -> None:
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{running.urls['WEB_URL']}/admin/ingestion/source/add/")
    offered(page, "tenant", "bakery", choose="Bakery")
    assert offered(page, "table") == ["bakery.orders"]
    assert set(offered(page, "connection")) == {"bakery.kafka", "shared.everyones"}
    assert offered(page, "table", "bakery.orders", choose="bakery.orders") == ["bakery.orders"]
    offered(page, "tenant", "shop", choose="Shop")
    assert page.input_value("#id_table") == "", "it is another tenant's"
    assert offered(page, "table") == ["shop.orders"]
    assert problems == []


def test_the_search_over_everything_opens_and_answers(running: Any, page: Page) -> None:
    page.goto(f"{running.urls['WEB_URL']}/admin/")
    page.keyboard.press("Control+k")
    page.type("#search-input-command", "bakery.or")
    page.get_by_text("bakery.orders").first.wait_for()
    page.type("#search-input-command", "zzz")
    page.get_by_text("No results for").first.wait_for()
