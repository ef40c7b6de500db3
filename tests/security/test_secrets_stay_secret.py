"""Canaries in every place that keeps a secret; none is seen in pages, logs, errors or exports."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client, RequestFactory, override_settings
from django.urls import reverse
from django.views.debug import ExceptionReporter

from ingestion.models import Connection, Source, Table
from tenants import key_format
from tenants.lifecycle import tenant_export
from tenants.models import APIKey, Tenant, Warehouse
from tenants.services import keys
from tenants.services.operator_keys import create_operator_key
from tenants.services.reencryption import fields

pytestmark = pytest.mark.security
CANARY = "canary-4711-"


class Cast:
    """A tenant whose every secret is a canary, and the texts that must not be seen."""

    def __init__(self, table: Table) -> None:
        self.table, self.tenant = table, table.tenant
        self.connection = Connection.objects.create(
            tenant=self.tenant,
            name="broker",
            kind="kafka",
            addresses="127.0.0.1:9",
            sasl_mechanism="PLAIN",
            tls=False,
            username="u",
            password=f"{CANARY}password",
            client_key=f"{CANARY}client-key",
        )
        Source.objects.create(
            tenant=self.tenant, name="s", table=table, connection=self.connection, stream="t"
        )
        row, self.key = keys.create_key(self.tenant, "k")
        operator, self.operator_key = create_operator_key("o")
        hashes = (bytes(row.sha256).hex(), bytes(operator.sha256).hex())
        parts = (self.key.split("_")[2], self.operator_key.split("_")[3])
        warehouse = self.tenant.warehouse.password
        self.secrets = (CANARY, warehouse, self.key, self.operator_key, *parts, *hashes)
        self.platforms = (settings.SECRET_KEY, *settings.MILLRACE_ENCRYPTION_KEYS)

    def seen_in(self, text: str) -> list[str]:
        return [one[:16] for one in (*self.secrets, *self.platforms) if one in text]


@pytest.fixture
def cast(tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]) -> Cast:
    return Cast(table_factory(tenant_factory("secret"), [{"name": "n", "type": "UInt32"}]))


def test_the_canaries_cover_every_kind_of_encrypted_field(cast: Cast) -> None:
    for model, name in fields():
        if model in {Connection, Warehouse}:
            assert getattr(model._base_manager.get(), name), name


def test_no_page_of_the_admin_shows_one(cast: Cast) -> None:
    operator = Client()
    operator.force_login(User.objects.create_superuser("operator"))
    walked = 0
    for model in admin.site._registry:
        stem = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        addresses = [reverse(f"{stem}_changelist"), reverse(f"{stem}_add")]
        for one in model._base_manager.all()[:3]:
            names = ("change", "history", "delete")
            addresses += [reverse(f"{stem}_{name}", args=[one.pk]) for name in names]
        for address in addresses:
            answer = operator.get(address)
            assert answer.status_code in {200, 302, 403}, address
            assert cast.seen_in(answer.content.decode()) == [], address
            walked += 1
    assert walked > 40


def test_a_form_that_is_refused_does_not_repeat_one(cast: Cast) -> None:
    operator = Client()
    operator.force_login(User.objects.create_superuser("operator"))
    given = {"name": "", "kind": "kafka", "password": f"{CANARY}new", "client_key": "no PEM"}
    answer = operator.post(reverse("admin:ingestion_connection_add"), given)
    assert answer.status_code == 200
    assert cast.seen_in(answer.content.decode()) == []


def test_no_repr_str_or_pickle_free_dump_shows_one(cast: Cast) -> None:
    from analytics_api.query_client import Account
    from tenants.rest import authentication

    parsed = key_format.parse(cast.key)
    assert parsed is not None
    shown = [
        cast.connection,
        cast.tenant.warehouse,
        APIKey.objects.get(),
        key_format.generate(),
        authentication.find(parsed.sha256),
        Account("d", "u", cast.tenant.warehouse.password),
    ]
    assert cast.seen_in(" ".join(f"{one} {one!r}" for one in shown)) == []


def test_logs_at_their_loudest_hold_none(cast: Cast, caplog: pytest.LogCaptureFixture) -> None:
    from ingestion.consume.loop import Slice
    from ingestion.services.trials import try_connection
    from tenants.tasks import provision_warehouse

    caplog.set_level(logging.DEBUG)
    for name in ("clickhouse_connect", "urllib3", "django", "celery", "kombu", "ingestion"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    web = Client(raise_request_exception=False)
    for given in (cast.key, cast.operator_key, cast.key[:-1] + "x", f"{CANARY}x"):
        for path in ("/api/v1/queries", "/api/v1/tenants"):
            web.get(path, headers={"Authorization": f"Bearer {given}"})
    cast.tenant.warehouse.request()
    provision_warehouse(cast.tenant.warehouse.pk)
    Slice(cast.connection.pk, seconds=0.5).run()
    told = try_connection(cast.connection)
    with override_settings(CLICKHOUSE_URL="http://u:p@127.0.0.1:9/"):
        cast.tenant.warehouse.request()
        provision_warehouse(cast.tenant.warehouse.pk)
    text = "\n".join(f"{one.getMessage()} {one.args} {one.exc_text}" for one in caplog.records)
    assert len(caplog.records) > 5
    assert cast.seen_in(text + str(told)) == []
    cast.tenant.warehouse.refresh_from_db()
    assert cast.seen_in(cast.tenant.warehouse.error) == []


def test_an_error_report_holds_none_even_with_its_variables(cast: Cast) -> None:
    """What Django mails to ADMINS, and shows where DEBUG is on."""
    request = RequestFactory().post(
        "/api/v1/queries",
        {"row": cast.connection.password},
        headers={"Authorization": f"Bearer {cast.key}", "Cookie": f"millrace_session={CANARY}"},
    )
    assert request.POST

    def breaks(row: str) -> None:
        raise RuntimeError(str(len(row)))

    try:
        breaks(cast.connection.password)
    except RuntimeError:
        reporter = ExceptionReporter(request, *sys.exc_info(), is_email=True)
    for text in (reporter.get_traceback_text(), reporter.get_traceback_html()):
        assert "RuntimeError" in text
        assert cast.seen_in(text) == []


def test_what_fails_in_the_api_says_nothing_of_its_cause(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    from analytics_api.selectors import published

    def breaks(_: int) -> None:
        raise RuntimeError(cast.connection.password)

    monkeypatch.setattr(published, "all_published", breaks)
    answer = Client(raise_request_exception=False).get(
        "/api/v1/queries", headers={"Authorization": f"Bearer {cast.key}"}
    )
    assert answer.status_code == 500
    assert cast.seen_in(answer.content.decode()) == []


def test_tasks_carry_numbers_and_no_secrets(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    from celery.app.task import Task

    from ingestion.services.tables import retry_table
    from ingestion.tasks import consume
    from tenants.services.warehouses import retry_warehouse

    sent: list[Any] = []
    monkeypatch.setattr(Task, "apply_async", lambda self, *a, **k: sent.append((self.name, a, k)))
    with django_capture_on_commit_callbacks(execute=True):
        retry_warehouse(cast.tenant.warehouse)
        retry_table(cast.table)
    consume.keep_consuming()
    consume.measure_lag()
    assert len(sent) >= 4
    assert cast.seen_in(json.dumps(sent, default=str)) == []


def test_no_export_and_no_audit_entry_holds_one(
    cast: Cast, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tenants.models import AuditEntry

    folder, _ = tenant_export.export(cast.tenant, tmp_path / "out")
    for file in folder.rglob("*"):
        if file.is_file():
            assert cast.seen_in(file.read_bytes().decode("latin-1")) == [], file
    call_command("export", cast.tenant.slug)
    assert cast.seen_in(capsys.readouterr().out) == []
    entries = list(AuditEntry.objects.values())
    assert entries
    assert cast.seen_in(json.dumps(entries, default=str)) == []
