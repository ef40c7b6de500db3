"""A member of one tenant, in a browser, sees nothing of another: every page, search, deep link.

Each list and form leaves a picture in ``tests/screenshots``. Every address is asked for; drawn is
what has something to draw, and of the other tenant's pages the one of each object.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from walking.cast import CANARY, PASSWORD, tells_of_other
from walking.pages import TERM

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.security, pytest.mark.timeout(600)]
SCREENSHOTS = Path(__file__).resolve().parents[1] / "screenshots"

FILL = """
import json, sys
sys.path.insert(0, "tests")
from walking import cast, pages
made = cast.make()
told = lambda found: [(one.name, one.address) for one in found]
print("\\n" + json.dumps({
    "general": told(pages.general(made.other)),
    "own": told(pages.of_tenant(made.own)),
    "other": told(pages.of_tenant(made.other)),
    "missing": [(a.address, b.address) for a, b in pages.missing(pages.of_tenant(made.other))],
}))
"""
#: Pages without anything to draw: JSON, a file, or the same list in another order.
UNDRAWN = re.compile(r"autocomplete|export|jsi18n|sorted|filtered|site search|view_on_site|act\b")
#: What a page says, but for its lists, and any number as 0: an overview counts, and tells ages.
TEXT = """() => {
  const body = document.body.cloneNode(true)
  body.querySelectorAll("table, script, style").forEach(each => each.remove())
  return body.textContent.replace(/\\s+/g, " ").replace(/[\\d.,]+/g, "0")
}"""


@pytest.fixture(scope="module")
def running(installation: Any) -> Any:
    installation.start("postgres", "clickhouse", "valkey", "web")
    return installation


@pytest.fixture(scope="module")
def addresses(running: Any) -> Any:
    return json.loads(running.python(FILL).splitlines()[-1])


def shoot(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    name = re.sub(r"\W+", "-", name)
    page.screenshot(path=SCREENSHOTS / f"members-{name}.png", full_page=True)


def test_a_member_sees_nothing_of_another_tenant(
    running: Any, addresses: Any, log_in: Callable[[str, str], Page]
) -> None:
    page, web = log_in("owner", PASSWORD), running.urls["WEB_URL"]
    assert "shop" in page.inner_text("#content").lower()
    opened, leaks, shot = 0, [], set()
    for group in ("general", "own", "other"):
        for name, address in addresses[group]:
            deep = group == "other" and not name.endswith("_change")
            if UNDRAWN.search(name) or deep:
                answer = page.request.get(web + address)
                status, text = answer.status, answer.text()
            else:
                response = page.goto(web + address, wait_until="domcontentloaded")
                assert response is not None
                status, text = response.status, response.text() + page.content()
                if name not in shot and status == 200 and group != "other":
                    shoot(page, name)
                    shot.add(name)
            assert status < 500, address
            opened += 1
            if tells_of_other(text):
                leaks.append(address)
    assert leaks == []
    assert opened > 300
    assert len(shot) > 40


def test_a_deep_link_to_another_tenant_leads_where_a_wrong_one_does(
    running: Any, addresses: Any, log_in: Callable[[str, str], Page]
) -> None:
    page, web = log_in("viewer", PASSWORD), running.urls["WEB_URL"]
    for address, none in [one for one in addresses["missing"] if "/change/" in one[0]]:
        ends = []
        for each in (address, none):
            response = page.goto(web + each, wait_until="domcontentloaded")
            assert response is not None
            ends.append((response.status, page.url.replace(each, "#"), page.evaluate(TEXT)))
        assert ends[0] == ends[1], address
        assert ends[0][0] == 403 or "Perhaps it was deleted" in ends[0][2], address
    shoot(page, "deep-link")


def test_nothing_is_found_by_typing(
    running: Any, addresses: Any, log_in: Callable[[str, str], Page]
) -> None:
    page, web = log_in("editor", PASSWORD), running.urls["WEB_URL"]
    page.goto(f"{web}/admin/ingestion/source/")
    page.fill("#searchbar", TERM)
    page.press("#searchbar", "Enter")
    page.wait_for_url(f"**?q={TERM}*")
    assert CANARY not in page.content().lower()
    shoot(page, "search")
    page.goto(f"{web}/admin/ingestion/source/add/")
    for field in ("tenant", "connection", "table"):
        page.click(f"#id_{field} + .select2 .select2-selection")
        page.fill(".select2-container--open .select2-search__field", TERM)
        page.locator(".select2-results__message").wait_for()
        page.wait_for_function(
            "!document.querySelector('.select2-results__option.loading-results')"
        )
        assert CANARY not in page.content().lower()
        page.fill(".select2-container--open .select2-search__field", "shop")
        page.locator(".select2-results__option[role=option]", has_text="shop").first.wait_for()
        page.keyboard.press("Escape")
    shoot(page, "autocomplete")


def test_the_operator_sees_both(
    running: Any, addresses: Any, log_in: Callable[[str, str], Page], page: Page
) -> None:
    """What is looked for is there to be found."""
    for path in ("ingestion/source/", "tenants/tenant/", "tenants/auditentry/"):
        page.goto(f"{running.urls['WEB_URL']}/admin/{path}")
        assert CANARY in page.content().lower()
    shoot(page, "operator")
