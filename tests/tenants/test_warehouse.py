"""The first wall: what a tenant's own user may do, as the engine itself has it."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError
from django.contrib.admin.models import LogEntry
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import reverse

from analytics_api.query_client import Account, QueryCall, ask
from ingestion.models import Table
from tenants import tasks
from tenants.models import AuditEntry, ProvisionState, Tenant, Warehouse
from tenants.provisioning.warehouse import limits, provision, remove
from tenants.services.warehouses import create_warehouse
from tenants.warehouse import client
from tenants.warehouse.errors import StatementFailed, WarehouseUnreachable, clean
from tenants.warehouse.statements import QUOTING

COLUMNS = [{"name": "n", "type": "UInt32"}]


def connect(server: str, warehouse: Warehouse, **options: Any) -> Any:
    parts = urlsplit(server)
    return clickhouse_connect.get_client(
        host=parts.hostname,
        port=parts.port,
        username=warehouse.username,
        password=options.pop("password", warehouse.password),
        database=warehouse.database,
        autogenerate_session_id=False,
        **options,
    )


@pytest.fixture
def pair(
    tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]
) -> tuple[Warehouse, Warehouse]:
    made = []
    for stem in ("one", "two"):
        table = table_factory(tenant_factory(stem), COLUMNS)
        warehouse = table.tenant.warehouse
        client.execute([f"INSERT INTO {warehouse.database}.events (n) VALUES (1)"])
        made.append(warehouse)
    return made[0], made[1]


def test_a_tenants_user_reads_its_own_tables(
    clickhouse_server: str, pair: tuple[Warehouse, Warehouse]
) -> None:
    mine = connect(clickhouse_server, pair[0])
    assert mine.query("SELECT n FROM events").result_rows == [(1,)]
    mine.close()


@pytest.mark.security
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM {other}.events",
        "SELECT * FROM events UNION ALL SELECT * FROM {other}.events",
        "SELECT * FROM merge('{other}', '.*')",
        "SELECT dictGet('{other}.d', 'x', 1)",
        "INSERT INTO events (n) VALUES (2)",
        "INSERT INTO {other}.events (n) VALUES (2)",
        "CREATE TABLE events2 (n UInt8) ENGINE = Memory",
        "CREATE DATABASE mine",
        "DROP TABLE events",
        "TRUNCATE TABLE events",
        "ALTER TABLE events DELETE WHERE 1",
        "DROP DATABASE {other}",
        "CREATE USER x",
        "GRANT SELECT ON *.* TO {me}",
        "SELECT * FROM url('http://127.0.0.1:1/', CSV, 'a String')",
        "SELECT * FROM file('/etc/passwd', CSV, 'a String')",
        "SELECT * FROM s3('http://127.0.0.1:1/b', CSV, 'a String')",
        "SELECT * FROM remote('127.0.0.1', {other}.events)",
        "SELECT * FROM executable('x', CSV, 'a String', (SELECT 1))",
        "SELECT * FROM system.processes",
        "SYSTEM SHUTDOWN",
        "KILL QUERY WHERE 1",
        "SET readonly = 0",
        "SELECT 1 SETTINGS max_execution_time = 0",
        "SELECT 1 SETTINGS readonly = 0",
    ],
)
def test_the_engine_refuses_a_tenants_user_all_else(
    statement: str, clickhouse_server: str, pair: tuple[Warehouse, Warehouse]
) -> None:
    """Guard and session are not asked here: only the user's grants and settings hold."""
    mine = connect(clickhouse_server, pair[0])
    sql = statement.format(other=pair[1].database, me=pair[0].username)
    with pytest.raises(ClickHouseError):
        mine.command(sql)
    mine.close()
    for warehouse in pair:
        assert client.rows(f"SELECT count() AS c FROM {warehouse.database}.events") == [{"c": 1}]


@pytest.mark.security
def test_the_engine_names_no_other_tenant(
    clickhouse_server: str, pair: tuple[Warehouse, Warehouse]
) -> None:
    mine = connect(clickhouse_server, pair[0])
    for sql in (
        "SHOW DATABASES",
        "SELECT database, name FROM system.tables",
        "SELECT database, name FROM system.columns",
        "SELECT name FROM system.databases",
    ):
        try:
            found = str(mine.query(sql).result_rows)
        except ClickHouseError as error:
            found = str(error)
        assert pair[1].database not in found, sql
    mine.close()


@pytest.mark.security
def test_a_wrong_password_is_refused(
    clickhouse_server: str, pair: tuple[Warehouse, Warehouse]
) -> None:
    with pytest.raises(ClickHouseError, match=r"AUTHENTICATION_FAILED|516|password"):
        connect(clickhouse_server, pair[0], password="guess")


def test_a_new_password_ends_the_old_one_and_no_call_fails_between(
    clickhouse_server: str, tenant_factory: Callable[..., Tenant], monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = tenant_factory("rotated").warehouse
    old = warehouse.password
    between: list[int] = []

    def wait(seconds: float) -> None:
        """While the command waits, processes call by the password that they remember."""
        new = Warehouse.objects.get(pk=warehouse.pk).password
        assert new != old
        for password in (old, new):
            user = connect(clickhouse_server, warehouse, password=password)
            between.append(user.query("SELECT 1").result_rows[0][0])
            user.close()
        tasks.reconcile()  # must not end the old one before its time
        connect(clickhouse_server, warehouse, password=old).close()

    monkeypatch.setattr("time.sleep", wait)
    call_command("rotate_warehouse_password", warehouse.tenant.slug, stdout=io.StringIO())
    warehouse.refresh_from_db()
    assert between == [1, 1]
    assert warehouse.state == ProvisionState.READY
    connect(clickhouse_server, warehouse).close()
    with pytest.raises(ClickHouseError):
        connect(clickhouse_server, warehouse, password=old)
    with connection.cursor() as cursor:
        cursor.execute("SELECT password FROM tenants_warehouse WHERE id = %s", [warehouse.pk])
        assert warehouse.password not in cursor.fetchone()[0]


def test_an_operator_rotates_by_the_button(
    tenant_factory: Callable[..., Tenant], django_user_model: Any
) -> None:
    warehouse = tenant_factory("pressed").warehouse
    operator = Client()
    operator.force_login(django_user_model.objects.create_superuser("operator"))
    address = reverse("admin:tenants_warehouse_act", args=[warehouse.pk, "rotate"])
    answer = operator.post(address, follow=True)
    assert "was changed. The old one" in answer.content.decode()
    now = Warehouse.objects.get(pk=warehouse.pk)
    assert now.password != warehouse.password
    assert now.password not in answer.content.decode()
    (entry,) = AuditEntry.objects.filter(action="warehouse.rotate", object_id=str(warehouse.pk))
    assert now.password not in str(entry.detail)


def test_a_rotation_that_the_engine_refuses_leaves_the_password(
    tenant_factory: Callable[..., Tenant], monkeypatch: pytest.MonkeyPatch, django_user_model: Any
) -> None:
    warehouse = tenant_factory("kept").warehouse

    def refuse(*_: object) -> None:
        raise StatementFailed(62, "Syntax error")

    with monkeypatch.context() as patched:
        patched.setattr(client, "execute", refuse)
        with pytest.raises(CommandError, match="1 of 1 failed"):
            call_command("rotate_warehouse_password", warehouse.tenant.slug, stderr=io.StringIO())
        operator = Client()
        operator.force_login(django_user_model.objects.create_superuser("operator"))
        address = reverse("admin:tenants_warehouse_act", args=[warehouse.pk, "rotate"])
        (said,) = operator.post(address, follow=True).context["messages"]
    assert (said.level_tag, str(said)[:29]) == ("error", "The password was not changed.")
    assert not LogEntry.objects.filter(object_id=str(warehouse.pk)).exists()
    assert Warehouse.objects.get(pk=warehouse.pk).password == warehouse.password


def test_what_to_rotate_must_be_said(db: None) -> None:
    for arguments in ([], ["nobody"], ["nobody", "--all"]):
        with pytest.raises(CommandError):
            call_command("rotate_warehouse_password", *arguments)


def test_making_a_warehouse_twice_changes_nothing(tenant_factory: Callable[..., Tenant]) -> None:
    warehouse = tenant_factory().warehouse
    client.execute([f"CREATE TABLE {warehouse.database}.kept (n UInt8) ENGINE = Memory"])
    provision(warehouse)
    assert warehouse.state == ProvisionState.READY
    assert client.rows(f"EXISTS TABLE {warehouse.database}.kept") == [{"result": 1}]


def test_an_engine_that_is_away_is_said_and_tried_again(
    db: None, unique: Callable[[str], str], settings
) -> None:
    tenant = Tenant.objects.create(slug=unique("away"), name="Away")
    warehouse = create_warehouse(tenant)
    settings.CLICKHOUSE_URL = "http://millrace:x@127.0.0.1:9/"
    provision(warehouse)
    assert warehouse.state == ProvisionState.FAILED
    assert "does not answer at the address in CLICKHOUSE_URL" in warehouse.error
    first = warehouse.retry_at
    provision(warehouse)
    assert warehouse.attempts == 2
    assert warehouse.retry_at > first
    with pytest.raises(WarehouseUnreachable):
        client.rows("SELECT 1")


def test_removing_takes_the_database_and_the_user_away(
    tenant_factory: Callable[..., Tenant], clickhouse_server: str
) -> None:
    warehouse = tenant_factory("gone").warehouse
    remove(warehouse.database, warehouse.username)
    remove(warehouse.database, warehouse.username)
    found = client.rows(
        "SELECT count() AS c FROM system.databases WHERE name = {d:String}",
        {"d": warehouse.database},
    )
    assert found == [{"c": 0}]
    with pytest.raises(ClickHouseError):
        connect(clickhouse_server, warehouse)


def test_errors_keep_the_code_and_lose_the_trace() -> None:
    text = "Code: 60. DB::Exception: Table t.x does not exist. (UNKNOWN_TABLE) (version 26.1)"
    assert clean(text) == (60, "Table t.x does not exist. (UNKNOWN_TABLE)")
    assert clean("nothing of the kind") == (0, "nothing of the kind")
    error = StatementFailed(60, "Table t.x does not exist.")
    assert str(error) == "Table t.x does not exist. (ClickHouse code 60)"


def test_a_warehouse_of_an_earlier_release_gets_the_profile_of_this_one(
    clickhouse_server: str, tenant_factory: Callable[..., Tenant]
) -> None:
    """What a call may choose came with a release: how JSON writes large numbers."""
    warehouse = tenant_factory("earlier").warehouse
    Warehouse.objects.filter(pk=warehouse.pk).update(limits=limits().settings())
    user = warehouse.username
    earlier = ", ".join(one.sql for one in limits().profile() if one.name not in QUOTING)
    client.execute([f"CREATE SETTINGS PROFILE OR REPLACE `{user}` SETTINGS {earlier}"])

    def row() -> bytes:
        account = Account(warehouse.database, user, warehouse.password)
        quoted = tuple((name, "1") for name in QUOTING)
        return ask(
            account, QueryCall("SELECT 1::UInt64 AS n", {}, "JSONEachRow", format_settings=quoted)
        ).content

    with pytest.raises(StatementFailed, match="Cannot modify"):
        row()
    tasks.reconcile()
    warehouse.refresh_from_db()
    assert warehouse.applied != warehouse.generation
    provision(warehouse)
    assert row() == b'{"n":"1"}\n'
    tasks.reconcile()
    warehouse.refresh_from_db()
    assert warehouse.applied == warehouse.generation
