"""Every page of the admin, and Swagger's, in Chromium: the policy is broken by none, and holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from millrace.embedded import installation_secrets

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

#: One of everything, and the addresses of every page that the admin has.
FILL = """
from django.contrib import admin
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone
from analytics_api.models import SavedQuery
from analytics_api.services.saved_queries import publish
from ingestion.services.events import accept
from ingestion.consume.loop import Slice
from ingestion.models import *
from ingestion.provision import provision_table
from tenants.services.keys import create_key
from tenants.services.tenants import make
from tenants.models import *
from tenants.provisioning.warehouse import provision

tenant = make("shop", "Shop")
provision(tenant.warehouse)
table = Table.objects.create(tenant=tenant, name="orders", sorting_key=["id"])
Column.objects.create(table=table, name="id", type="UInt64")
provision_table(table)
kafka = Connection.objects.create(tenant=tenant, name="k", kind="kafka", addresses="127.0.0.1:9")
source = Source.objects.create(tenant=tenant, name="orders", table=table)
accept(source, [b'{"id": 1}', b'{"id": -1}'])
Slice(None, seconds=1.5).run()
publish(SavedQuery.objects.create(tenant=tenant, name="q", sql="SELECT id FROM orders"))
key, _ = create_key(tenant, "k")
Plan.objects.create(name="small", events_a_day=1)
Usage.objects.create(tenant=tenant, day=timezone.now().date(), key=key, requests=3)
Membership.objects.create(tenant=tenant, user=User.objects.get(username="admin"), role="owner")

def pages():
    yield reverse("admin:index")
    yield reverse("admin:password_change")
    for model in admin.site._registry:
        stem = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        yield reverse(f"{stem}_changelist")
        yield reverse(f"{stem}_add")
        one = model._base_manager.order_by("pk").first()
        if one is None:
            continue
        for name in ("change", "history", "delete"):
            yield reverse(f"{stem}_{name}", args=[one.pk])
    for name, one in (
        ("ingestion_source_reset", source), ("ingestion_source_find", source),
        ("ingestion_table_quarantine", table), ("tenants_tenant_erase", tenant),
        ("tenants_tenant_remove", tenant), ("tenants_apikey_rotate", key),
    ):
        yield reverse(f"admin:{name}", args=[one.pk])

print("\\n".join(pages()))
"""
LISTEN = """
window.__broken = [];
document.addEventListener('securitypolicyviolation', event => window.__broken.push(
    `${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber} ` +
    event.sample));
"""


@pytest.fixture(scope="module")
def running(installation: Any) -> Any:
    installation.start("postgres", "clickhouse", "valkey", "web")
    return installation


@pytest.fixture(scope="module")
def paths(running: Any) -> list[str]:
    found: list[str] = running.python(FILL).split()
    return found


@pytest.fixture
def page(running: Any, browser: Browser) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1440, "height": 900})
    opened.set_default_timeout(120_000)
    opened.add_init_script(LISTEN)
    web = running.urls["WEB_URL"]
    opened.goto(f"{web}/admin/")
    assert broken(opened) == []
    opened.fill("#id_username", "admin")
    opened.fill("#id_password", installation_secrets.read(running.home)["admin"])
    opened.click("button[type=submit]")
    opened.wait_for_url(f"{web}/admin/")
    yield opened
    opened.close()


def broken(page: Page) -> list[str]:
    found: list[str] = page.evaluate("window.__broken")
    return found


def test_no_page_breaks_the_policy(running: Any, paths: list[str], page: Page) -> None:
    web = running.urls["WEB_URL"]
    said: dict[str, list[str]] = {}
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(f"{page.url} {error}"))
    assert len(paths) > 40
    for path in [*paths, "/api/docs"]:
        answer = page.goto(f"{web}{path}", wait_until="load")
        assert answer is not None
        # What may not be made, changed or deleted by hand says so, in a page too.
        assert answer.status in {200, 403}, path
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        if found := broken(page):
            said[path] = found
    assert said == {}
    assert errors == []


def test_swagger_shows_the_addresses(running: Any, page: Page) -> None:
    page.goto(f"{running.urls['WEB_URL']}/api/docs")
    page.get_by_text("/api/v1/queries/{name}").first.wait_for()
    assert broken(page) == []


def test_an_injected_script_does_nothing(running: Any, page: Page) -> None:
    page.goto(f"{running.urls['WEB_URL']}/admin/")
    page.evaluate(
        """() => {
        const script = document.createElement('script');
        script.textContent = 'window.__ran = 1';
        document.body.append(script);
        const image = document.createElement('div');
        image.innerHTML = '<img src="/x" onerror="window.__ran = 2">';
        document.body.append(image);
        const other = document.createElement('script');
        other.src = 'http://127.0.0.1:9/evil.js';
        document.body.append(other);
    }"""
    )
    page.wait_for_function("window.__broken.length >= 3")
    assert page.evaluate("window.__ran === undefined")
    directives = {one.split()[0] for one in broken(page)}
    assert directives == {"script-src-elem", "script-src-attr"}


def test_the_admins_own_controls_still_work(running: Any, paths: list[str], page: Page) -> None:
    """Alpine, select2 and the theme's switch, which a policy that is too strict would break."""
    web = running.urls["WEB_URL"]
    page.goto(f"{web}/admin/tenants/apikey/add/")
    page.click(".select2-selection")
    page.fill(".select2-search__field", "sho")
    page.locator(".select2-results__option", has_text="Shop").click()
    assert page.input_value("select[name=tenant]")
    assert broken(page) == []
