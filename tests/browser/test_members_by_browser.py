"""A member of one tenant, in a browser, sees nothing of another: every page, search, deep link.

Each kind of page that a browser has something to draw of is opened once, scripts included.
``admin/test_members.py`` asks for every address there is. With ``SCREENSHOTS=1`` each page leaves a
picture in ``tests/screenshots``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from walking.cast import CANARY, PASSWORD, tells_of_other
from walking.pages import TERM

from tests.browser import pictures

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.security, pytest.mark.timeout(600)]

FILL = """
import json, sys
sys.path.insert(0, "tests")
from walking import cast, pages
made = cast.make()
told = lambda found: [(one.name, one.address) for one in found]
print("\\n" + json.dumps({
    "general": told(pages.general(made.other)),
    "own": told(pages.of_tenant(made.own)),
    "missing": [(a.address, b.address) for a, b in pages.missing(pages.of_tenant(made.other))],
}))
"""
#: Pages without anything to draw: JSON, a file, or the same list in another order.
UNDRAWN = re.compile(
    r"autocomplete|export|misfits|jsi18n|sorted|filtered|site search|view_on_site|act\b"
)
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
    pictures.shoot(page, "members-" + re.sub(r"\W+", "-", name))


def test_a_member_sees_nothing_of_another_tenant(
    running: Any, addresses: Any, log_in: Callable[[str, str], Page]
) -> None:
    page, web = log_in("owner", PASSWORD), running.urls["WEB_URL"]
    assert "shop" in page.inner_text("#content").lower()
    leaks, drawn = [], set()
    for name, address in addresses["general"] + addresses["own"]:
        if UNDRAWN.search(name) or name in drawn:
            continue
        response = page.goto(web + address, wait_until="domcontentloaded")
        assert response is not None
        assert response.status < 500, address
        if tells_of_other(response.text() + page.content()):
            leaks.append(address)
        if response.status == 200:
            shoot(page, name)
            drawn.add(name)
    assert leaks == []
    assert len(drawn) > 40


def test_a_deep_link_to_another_tenant_leads_where_a_wrong_one_does(
    running: Any, addresses: Any, log_in: Callable[[str, str], Page]
) -> None:
    page, web = log_in("viewer", PASSWORD), running.urls["WEB_URL"]
    ends: dict[str, tuple[int, str, str]] = {}
    for address, none in [one for one in addresses["missing"] if "/change/" in one[0]]:
        for each in {address, none} - set(ends):
            response = page.goto(web + each, wait_until="domcontentloaded")
            assert response is not None
            assert not tells_of_other(response.text() + page.content()), each
            ends[each] = response.status, page.url.replace(each, "#"), page.evaluate(TEXT)
        status, _, text = ends[address]
        assert ends[none] == ends[address], address
        assert status == 403 or "Perhaps it was deleted" in text, address
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
