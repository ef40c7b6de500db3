"""What a tenant writes, staff see as text: in the admin's pages, and in CSV of ours."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from analytics_api.models import SavedQuery
from ingestion.models import Backfill, Connection, Gap, Source, StreamPartition, Table
from tenants import audit, formulas
from tenants.audit.entry_formats import as_csv
from tenants.models import AuditEntry, Tenant
from tenants.services import keys
from tenants.warehouse import client as warehouse
from tests.security import attacks
from tests.security.tally import Tally

pytestmark = pytest.mark.security

_ADDRESSES = ("href", "src", "action", "formaction", "data", "content", "srcdoc")


class Markup(HTMLParser):
    """Finds in a page what an attack has made of it: elements, attributes, scripts."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        for name, value in attrs:
            text = (value or "").lower()
            runs = name.startswith(("on", "x-", "@", ":")) and "alert(1)" in text
            leads = name in _ADDRESSES and ("evil.example" in text or "javascript:alert" in text)
            if runs or leads:
                self.found.append(f"<{tag} {name}={value!r}>")

    def handle_data(self, data: str) -> None:
        if self._inside in ("script", "style") and ("alert(1)" in data or "evil.example" in data):
            self.found.append(f"<{self._inside}> {data[:60]!r}")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


def test_the_look_at_a_page_sees_markup() -> None:
    seen = [bool(Markup(one.text).found) for one in attacks.of("html")]
    assert sum(seen) > 20


@pytest.fixture
def operator(db: None) -> Client:
    made = Client()
    made.force_login(User.objects.create_superuser("operator"))
    return made


@pytest.fixture
def written(table_factory: Callable[..., Table], tenant_factory: Callable[..., Tenant]) -> Table:
    """Every attack, in all that a tenant or its broker can write."""
    table = table_factory(tenant_factory("written"), [{"name": "n", "type": "UInt32"}])
    tenant = table.tenant
    texts = [attack.text.replace("\0", "") for attack in attacks.of("html")]
    for number, text in enumerate([*texts, " ".join(texts)[:180]]):
        name = f"x{number}"
        named = Tenant.objects.create(slug=f"{tenant.slug}_{name}", name=text[:200])
        made = Connection.objects.create(
            tenant=tenant,
            name=name,
            kind="kafka",
            addresses=text,
            username=text,
            options={"a": text},
        )
        source = Source.objects.create(
            tenant=tenant,
            name=name,
            connection=made,
            stream=text[:200],
            table=table,
            error=text,
            error_at=timezone.now(),
            attempts=2,
            paused_reason=text[:200],
        )
        part = StreamPartition.objects.create(source=source, number=0, position=5)
        Gap.objects.create(partition=part, from_offset=5, to_offset=7, reason="deleted")
        Backfill.objects.create(
            table=table, name=text, sha256=name, format="csv", chunk_rows=1, error=text
        )
        SavedQuery.objects.create(tenant=tenant, name=name, sql=text, description=text)
        keys.create_key(tenant, text[:100])
        Table.objects.create(tenant=tenant, name=name, error=text)
        audit.record("tenant.rename", named, tenant=tenant, detail={"to": text})
    database = tenant.warehouse.database
    rows = [[0, number, timezone.now(), "", text] for number, text in enumerate(texts)]
    names = ["_partition", "_offset", "_timestamp", "_key", "raw"]
    warehouse.admin().insert("events__inbox", rows, column_names=names, database=database)
    return table


def _pages(operator: Client, table: Table) -> list[str]:
    """Lists, forms and histories of all models, and the pages beside them."""
    pages = [reverse("admin:index")]
    for model in admin.site._registry:
        stem = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        pages.append(reverse(f"{stem}_changelist"))
        if admin.site._registry[model].search_fields:
            pages.append(reverse(f"{stem}_changelist") + '?q="><script>alert(1)</script>')
        last = model._default_manager.order_by("-pk").first()
        if last is not None:
            pages.append(reverse(f"{stem}_change", args=[last.pk]))
            pages.append(reverse(f"{stem}_history", args=[last.pk]))
    pages.append(reverse("admin:ingestion_table_quarantine", args=[table.pk]))
    return pages


def test_no_text_becomes_markup_in_the_admin(
    operator: Client, written: Table, tally: Tally
) -> None:
    found: list[str] = []
    shown = ""
    for page in _pages(operator, written):
        answer = operator.get(page, follow=True)
        assert answer.status_code < 500, page
        content = answer.content.decode()
        shown += content
        found += [f"{page}: {one}" for one in Markup(content).found]
    assert "&lt;script&gt;alert(1)" in shown
    for attack in attacks.of("html"):
        tally.note("pages", attack, "; ".join(found[:3]))
    assert not tally.at("pages", "html")


def test_a_page_that_trusts_a_text_is_seen(
    operator: Client, written: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.utils.safestring import mark_safe

    monkeypatch.setattr(Tenant, "__str__", lambda self: mark_safe(self.name))  # noqa: S308
    answer = operator.get(reverse("admin:tenants_apikey_changelist"))
    tenants = operator.get(reverse("admin:tenants_tenant_changelist"))
    last = Tenant.objects.order_by("-pk").first()
    assert last is not None
    change = operator.get(reverse("admin:tenants_tenant_change", args=[last.pk]))
    history = operator.get(reverse("admin:tenants_tenant_history", args=[last.pk]))
    content = "".join(one.content.decode() for one in (answer, tenants, change, history))
    assert Markup(content).found


def _cells(tenant: Tenant, texts: list[str]) -> list[str]:
    """The cells of the audit log as a spreadsheet reads its CSV."""
    for text in texts:
        named = Tenant(pk=tenant.pk, slug=tenant.slug, name=text)
        audit.record("tenant.rename", named, tenant=tenant, detail={text: text})
    rows = "".join(as_csv(AuditEntry.objects.filter(tenant_id=tenant.pk)))
    return [cell for row in csv.reader(io.StringIO(rows)) for cell in row]


def test_no_cell_of_ours_is_a_formula(
    tenant_factory: Callable[..., Tenant], tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = tenant_factory()
    signs = (*"=+-@\t\r\n", *"\uff1d\uff0b\uff0d\uff20")
    for attack in attacks.of("formulas"):
        cells = _cells(tenant, [attack.text])
        run = [cell for cell in cells if cell.lstrip(" ").startswith(signs)]
        tally.note("pages", attack, f"a formula: {run[0]!r}" if run else "")
    assert not tally.at("pages", "formulas")
    monkeypatch.setattr(formulas, "neutral", str)
    monkeypatch.setattr("tenants.audit.entry_formats.neutral", str)
    assert any(cell.startswith("=") for cell in _cells(tenant, ["=1+1"]))
