"""Counts are written down once, whatever breaks in between; storage is measured; holds go."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import DataError, OperationalError, transaction
from django.utils import timezone

from ingestion.models import Table
from ingestion.provision import provision_table
from ingestion.tasks import reconcile
from tenants import tasks
from tenants.models import IngestionHold, Tenant, Usage, UsageFlush
from tenants.plans import holds
from tenants.services.plans import give_plan, make_plan
from tenants.usage import call_tally, storage
from tenants.usage.call_tally import Tally
from tenants.warehouse import client


@pytest.fixture
def tenant(db: None, unique: Callable[[str], str]) -> Tenant:
    return Tenant.objects.create(slug=unique("acme"), name="Acme")


def counted(tenant: Tenant) -> int:
    return sum(Usage.objects.filter(tenant=tenant).values_list("requests", flat=True))


ONE = (1, 0, 0, 0, 0, 0, 0)


def test_a_flush_whose_answer_was_lost_is_repeated_and_counts_once(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = Tally()
    mine.count(tenant.pk, None, ONE)
    write = mine._write

    def written_but_not_heard(counts: Any) -> None:
        write(dict(counts))
        mine._left = counts
        raise OperationalError("the connection is lost")

    monkeypatch.setattr(mine, "_write", written_but_not_heard)
    with pytest.raises(OperationalError):
        mine.flush()
    monkeypatch.undo()
    assert counted(tenant) == 1
    mine.count(tenant.pk, 7, ONE)
    mine.flush()
    mine.flush()
    assert counted(tenant) == 2


def test_what_postgres_did_not_take_is_kept_for_the_next_flush(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = Tally()
    mine.count(tenant.pk, None, ONE)
    with monkeypatch.context() as patched:
        patched.setattr(call_tally, "_WRITE", "SELECT 1/0")
        for _ in range(2):
            with pytest.raises(DataError), transaction.atomic():
                mine.flush()
            mine.count(tenant.pk, None, ONE)
    mine.flush()
    assert counted(tenant) == 3


def test_counts_of_a_tenant_that_is_gone_do_not_hold_up_the_others(tenant: Tenant) -> None:
    mine = Tally()
    mine.count(2**40, 1, ONE)
    mine.count(tenant.pk, 1, ONE)
    mine.flush()
    assert counted(tenant) == 1


def test_old_flushes_are_forgotten(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "measure", lambda: None)
    Tally().flush()
    mine = Tally()
    mine.count(1, None, ONE)
    mine.flush()
    UsageFlush.objects.update(at=timezone.now() - timedelta(days=2))
    tasks.measure_storage()
    assert not UsageFlush.objects.exists()


COLUMNS = [{"name": "n", "type": "UInt32"}, {"name": "s", "type": "String"}]


def test_storage_is_measured_and_holds_a_tenant_until_there_is_room(
    tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]
) -> None:
    table = table_factory(tenant_factory(), COLUMNS, sorting_key=["n"])
    tenant, database = table.tenant, table.tenant.warehouse.database
    client.execute(
        [f"INSERT INTO {database}.events (n, s) SELECT number, hex(rand64()) FROM numbers(10000)"]
    )
    storage.measure()
    tenant.warehouse.refresh_from_db()
    size = tenant.warehouse.storage_bytes
    assert size > 50_000
    assert Usage.objects.get(tenant=tenant).storage_bytes == size
    give_plan(tenant, make_plan(f"of {tenant.slug}", {"storage_bytes": size // 2}))
    hold = IngestionHold.objects.get(tenant=tenant)
    assert hold.limit == "storage_bytes"
    assert f"{size:,} bytes are stored" in hold.reason
    client.execute([f"TRUNCATE TABLE {database}.events"])
    storage.measure()
    holds.refresh()
    assert not IngestionHold.objects.exists()
    assert Usage.objects.get(tenant=tenant).storage_bytes == size


@pytest.mark.slow
def test_the_plans_retention_bounds_what_tables_keep(
    tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]
) -> None:
    tenant = tenant_factory()
    plain = table_factory(tenant, COLUMNS, sorting_key=["n"])
    own = table_factory(tenant, COLUMNS, name="own", ttl="_timestamp + INTERVAL 1 YEAR")
    database = tenant.warehouse.database

    def apply() -> list[str]:
        reconcile()
        for one in Table.objects.filter(tenant=tenant):
            provision_table(one)
            one.refresh_from_db()
            assert one.applied == one.generation, one.error
        found = client.rows(
            "SELECT name, extract(engine_full, ' TTL (.*) SETTINGS') AS ttl FROM system.tables "
            f"WHERE database = '{database}' AND name IN ('events', 'own') ORDER BY name"
        )
        return [one["ttl"] for one in found]

    before = apply()
    assert before[0] == ""
    assert before[1].endswith("toIntervalYear(1)")
    client.execute(
        [
            f"INSERT INTO {database}.{name} (n, s, _timestamp, _ingested_at) "
            "VALUES (1, 'a', now(), now() - INTERVAL 4 DAY), (2, 'b', now(), now())"
            for name in ("events", "own")
        ]
    )
    give_plan(tenant, make_plan(f"of {tenant.slug}", {"retention_days": 3}))
    kept = "toDateTime(_ingested_at) + toIntervalDay(3)"
    ttls = apply()
    assert ttls[0] == kept
    assert ttls[1].endswith(f"{kept} WHERE 1")
    for table in (plain, own):
        client.execute([f"OPTIMIZE TABLE {database}.{table.name} FINAL"])
        rows = client.rows(f"SELECT n FROM {database}.{table.name}")
        assert rows == [{"n": 2}], table
    quarantine = client.rows(
        f"SELECT engine_full FROM system.tables WHERE database = '{database}' "
        "AND name LIKE '%events%' AND engine_full LIKE '%toIntervalDay(3)%'"
    )
    assert len(quarantine) == 2
    give_plan(tenant, None)
    assert apply()[0] == ""


def test_a_plan_that_allows_more_lets_go_at_once(tenant: Tenant) -> None:
    plan = make_plan(f"of {tenant.slug}", {"bytes_a_day": 10})
    give_plan(tenant, plan)
    Usage.objects.create(tenant=tenant, day=timezone.now().date(), bytes=10)
    holds.refresh()
    hold = IngestionHold.objects.get(tenant=tenant)
    assert (hold.limit, hold.value) == ("bytes_a_day", 10)
    assert hold.until is not None
    make_plan(plan.name, {"bytes_a_day": 11})
    assert not IngestionHold.objects.exists()
