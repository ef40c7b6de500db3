"""Tables are asked for in a transaction and made after it, by whom it may concern, once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.checks import run_checks
from django.db import connection, connections

from ingestion.ddl import SpecError
from ingestion.models import Column, Table
from ingestion.provision import existing, provision_table, spec_of
from ingestion.services import tables
from ingestion.tasks.provision import reconcile
from tenants.models import ProvisionState, Tenant
from tenants.services.warehouses import create_warehouse
from tenants.warehouse import client

COLUMNS = [{"name": "n", "type": "UInt8"}]


def test_a_saved_table_stands_in_clickhouse(
    tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]
) -> None:
    table = table_factory(tenant_factory(), COLUMNS, sorting_key=["n"])
    found = existing(spec_of(table))
    assert table.state == ProvisionState.READY
    assert found is not None
    assert found.columns["n"] == "UInt8"
    assert found.sorting_key in {"n", "(n)"}


def test_a_changed_table_is_altered_and_keeps_its_rows(
    tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]
) -> None:
    table = table_factory(tenant_factory(), COLUMNS)
    database = table.tenant.warehouse.database
    client.execute([f"INSERT INTO {database}.events (n) VALUES (7)"])
    Column.objects.create(table=table, name="s", type="Nullable(String)", required=False)
    tables.request_table(table)
    provision_table(table)
    assert table.state == ProvisionState.READY
    assert client.rows(f"SELECT n, s FROM {database}.events") == [{"n": 7, "s": None}]


def test_what_cannot_be_altered_is_said_and_the_table_goes_on(
    tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]
) -> None:
    table = table_factory(tenant_factory(), COLUMNS)
    Column.objects.filter(table=table).update(type="Int8")
    tables.request_table(table)
    provision_table(table)
    assert table.state == ProvisionState.FAILED
    assert "Column n is UInt8 and can't become Int8" in table.error
    assert table.applied == 1
    Column.objects.filter(table=table).update(type="UInt8")
    tables.retry_table(table)
    provision_table(table)
    assert (table.state, table.error) == (ProvisionState.READY, "")


def test_a_path_that_was_taken_before_it_was_refused_breaks_nothing_and_is_named(
    tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]
) -> None:
    column = {"name": "s", "type": "Array(String)", "path": "items[*].sku"}
    table = table_factory(
        tenant_factory(), [*COLUMNS, {**column, "required": False, "default": "[]"}]
    )
    tables.request_table(table)
    provision_table(table)
    assert (table.state, table.error, table.applied) == (ProvisionState.READY, "", 2)
    (warning,) = [one for one in run_checks(databases=["default"]) if one.id == "millrace.W004"]
    assert warning.msg == f"Column s of {table} reads nothing: its path is 'items[*].sku'."
    assert "joined by dots" in str(warning.hint)
    with pytest.raises(SpecError, match="Column s, path"):
        tables.check_table(table)


def test_a_table_waits_for_its_warehouse(db: None, unique: Callable[[str], str]) -> None:
    tenant = Tenant.objects.create(slug=unique("early"), name="Early")
    table = Table.objects.create(tenant=tenant, name="events")
    Column.objects.create(table=table, **COLUMNS[0])
    provision_table(table)
    assert table.state == ProvisionState.FAILED
    assert "warehouse is not ready" in table.error


def test_an_engine_that_is_away_is_tried_again_by_the_reconciler(
    tenant_factory: Callable[..., Tenant], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = tenant_factory()
    table = Table.objects.create(tenant=tenant, name="events")
    Column.objects.create(table=table, **COLUMNS[0])
    address = settings.CLICKHOUSE_URL
    settings.CLICKHOUSE_URL = "http://127.0.0.1:9/"
    client.forget()
    provision_table(table)
    assert "does not answer" in table.error
    settings.CLICKHOUSE_URL = address
    client.forget()
    asked = []
    monkeypatch.setattr("ingestion.tasks.provision.send", lambda _, pk, **__: asked.append(pk))
    reconcile()
    assert table.pk not in asked, "it waits before it is tried again"
    Table.objects.filter(pk=table.pk).update(retry_at=table.created_at)
    reconcile()
    assert table.pk in asked
    provision_table(table)
    assert table.state == ProvisionState.READY


@pytest.mark.django_db(transaction=True)
def test_two_processes_are_never_at_one_table(clickhouse_server: str) -> None:
    tenant = Tenant.objects.create(slug="alone_at_it", name="Alone")
    table = Table.objects.create(tenant=tenant, name="events")
    key = f"table {table.pk}"
    other = connections.create_connection("default")
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [key])
        provision_table(table)
        table.refresh_from_db()
        assert (table.attempts, table.state) == (0, ProvisionState.PENDING)
        # Closing a connection frees its locks only once the server has noticed.
        cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [key])
    other.close()
    provision_table(table)
    assert table.attempts == 1


@pytest.mark.django_db(transaction=True)
def test_the_task_is_queued_after_the_commit_and_not_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from django.db import transaction

    sent: list[int] = []
    monkeypatch.setattr("ingestion.services.tables.send", lambda _, pk: sent.append(pk))
    tenant = Tenant.objects.create(slug="after_commit", name="After")
    with transaction.atomic():
        table = Table.objects.create(tenant=tenant, name="events")
        tables.request_table(table)
        assert sent == []
    assert sent == [table.pk]
    assert connection.in_atomic_block is False


def test_a_deleted_table_is_gone_from_clickhouse_and_one_in_use_stays(
    tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]
) -> None:
    from ingestion.models import Source

    table = table_factory(tenant_factory(), COLUMNS)
    spec = spec_of(table)
    source = Source.objects.create(tenant=table.tenant, name="http", table=table)
    with pytest.raises(tables.TableInUse, match="still feed"):
        tables.delete_table(table)
    source.delete()
    tables.delete_table(Table.objects.get(pk=table.pk))
    left = client.rows(
        "SELECT name FROM system.tables WHERE database = {d:String}", {"d": spec.database}
    )
    assert left == []


def test_a_warehouse_is_asked_for_once(db: None, unique: Callable[[str], str]) -> None:
    tenant = Tenant.objects.create(slug=unique("once"), name="Once")
    assert create_warehouse(tenant).pk == create_warehouse(tenant).pk
