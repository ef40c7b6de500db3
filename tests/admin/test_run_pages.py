"""The page of a backfill run: progress, cancelling and resuming, and who may."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from ingestion.backfill.file_run import Settings
from ingestion.models import BackfillRun, Table
from ingestion.services import backfill_runs
from tenants.models import AuditEntry, Tenant
from tests.admin.test_kept_columns_page import member
from tests.ingestion.conftest import COLUMNS


@pytest.fixture
def table(
    tenant_factory: Callable[..., Tenant],
    table_factory: Callable[..., Table],
    settings: Any,
    tmp_path: Path,
) -> Table:
    settings.MILLRACE_UPLOAD_DIR = str(tmp_path)
    return table_factory(tenant_factory("shop"), COLUMNS, sorting_key=["n"])


@pytest.fixture
def run(table: Table) -> BackfillRun:
    return backfill_runs.start_upload(table, "a.csv", [b"n\n1\nx\n2\n"], Settings())


def press(client: Client, run: BackfillRun, name: str) -> str:
    address = reverse("admin:ingestion_backfillrun_act", args=[run.pk, name])
    return client.post(address, follow=True).content.decode()


def page(client: Client, run: BackfillRun) -> Any:
    return client.get(reverse("admin:ingestion_backfillrun_change", args=[run.pk]))


@pytest.mark.parametrize("who", ["operator", "owner", "editor"])
def test_a_run_is_cancelled_resumed_and_says_what_became_of_it(
    who: str, operator: Client, run: BackfillRun
) -> None:
    client = operator if who == "operator" else member(run.table.tenant, who)
    shown = page(client, run)
    assert shown["Refresh"] == "3"
    assert "waits for a worker" in shown.content.decode()
    assert "The rows that have landed stay." in press(client, run, "cancel")
    assert "has ended already: cancelled" in press(client, run, "cancel")
    shown = page(client, run)
    assert "Refresh" not in shown
    assert 'name="resume"' in shown.content.decode()
    assert "loads nothing twice" in press(client, run, "resume")
    backfill_runs.work(run.pk)
    text = page(client, run).content.decode()
    assert "a.csv: 2 rows landed, 1 are in quarantine, 0 were loaded before." in text
    assert "100 %" in text
    actions = AuditEntry.across_tenants.filter(actor_name=who).values_list("action", flat=True)
    assert {"backfill.cancel", "backfill.resume"} <= set(actions)


def test_a_viewer_sees_a_run_and_changes_none(run: BackfillRun) -> None:
    viewer = member(run.table.tenant, "viewer")
    text = page(viewer, run).content.decode()
    assert "a.csv" in text
    assert "Cancel" not in text
    address = reverse("admin:ingestion_backfillrun_act", args=[run.pk, "cancel"])
    assert viewer.post(address).status_code == 403
    run.refresh_from_db()
    assert run.goes_on


def test_another_tenants_run_is_not_there(
    run: BackfillRun, tenant_factory: Callable[..., Tenant]
) -> None:
    other = member(tenant_factory("other"), "owner")
    assert page(other, run).status_code == 302
    address = reverse("admin:ingestion_backfillrun_act", args=[run.pk, "cancel"])
    assert other.post(address).status_code == 404


# --- The form -----------------------------------------------------------------------------------


def load(client: Client, table: Table, **fields: Any) -> Any:
    address = reverse("admin:ingestion_table_load", args=[table.pk])
    form = {"quarantine_limit": "60", "locations": "", **fields, "end": "1"}
    return client.post(address, form, follow=True)


def text_file(content: bytes, name: str = "h.csv") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def stored(tmp_path: Path) -> list[Path]:
    return [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("who", ["operator", "editor"])
def test_a_file_is_uploaded_and_loaded(who: str, operator: Client, table: Table) -> None:
    client = operator if who == "operator" else member(table.tenant, who)
    change = reverse("admin:ingestion_table_change", args=[table.pk])
    assert (
        reverse("admin:ingestion_table_load", args=[table.pk])
        in client.get(change).content.decode()
    )
    shown = load(client, table, file=text_file(b"n;s\n1;a\n2;b\n"), delimiter=";")
    assert "h.csv is being loaded into" in shown.content.decode()
    run = BackfillRun.objects.get()
    assert run.actor == who
    backfill_runs.work(run.pk)
    assert "h.csv: 2 rows landed" in page(client, run).content.decode()


def test_what_the_form_can_not_take_leaves_nothing(
    operator: Client, table: Table, tmp_path: Path, settings: Any
) -> None:
    def said(**fields: Any) -> str:
        return str(load(operator, table, **fields).content.decode())

    assert "Choose a file, or give locations" in said()
    both = {"file": text_file(b"n\n1\n"), "locations": "https://example.com/a.csv"}
    assert "Choose a file, or give locations" in said(**both)
    assert "does not show its format" in said(file=text_file(b"x", "a.exe"))
    assert "is no delimiter" in said(file=text_file(b"n\n"), delimiter="ab")
    assert "not open to you" in said(locations="/etc/passwd.csv")
    assert "the upload is empty" in said(file=text_file(b""))
    settings.MILLRACE_UPLOAD_MAX_BYTES = 3
    assert "larger than 3 bytes" in said(file=text_file(b"n\n1\n"))
    address = reverse("admin:ingestion_table_load", args=[table.pk])
    broken = operator.post(address, {"file": text_file(b"n\n"), "quarantine_limit": "60"})
    assert "broke off" in broken.content.decode()
    large = operator.post(address, {"file": text_file(b"n" * (2 << 20))})
    assert large.status_code == 413
    assert not stored(tmp_path)
    assert not BackfillRun.objects.exists()


def test_who_may_not_load_stores_nothing(table: Table, tmp_path: Path, operator: Client) -> None:
    viewer = member(table.tenant, "viewer")
    assert load(viewer, table, file=text_file(b"n\n1\n")).status_code == 404
    forged = Client(enforce_csrf_checks=True)
    forged.cookies = operator.cookies
    assert load(forged, table, file=text_file(b"n\n1\n")).status_code == 403
    assert load(Client(), table, file=text_file(b"n\n1\n")).status_code in (200, 405)
    assert not stored(tmp_path)
    assert not BackfillRun.objects.exists()
