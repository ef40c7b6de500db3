"""Two tenants with one of everything. All that is of the second has its canary in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Model
from django.utils import timezone

from analytics_api.models import SavedQuery, SavedQueryVersion
from ingestion.consume.loop import Slice
from ingestion.models import (
    Backfill,
    BackfillRun,
    Batch,
    Column,
    Connection,
    FoldedBatches,
    Gap,
    Source,
    SourceMinute,
    StreamPartition,
    Table,
)
from ingestion.provision import provision_table
from ingestion.services.events import accept
from tenants.audit import record
from tenants.models import APIKey, IngestionHold, Membership, Plan, Tenant, Usage
from tenants.provisioning.warehouse import provision
from tenants.scoping import ScopedManager
from tenants.services import keys
from tenants.services.warehouses import create_warehouse

CANARY = "zanzibar"
#: How the second tenant's figures begin as pages write them, also when the first's are added.
FIGURE = "735,913,"
PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Cast:
    own: Tenant
    other: Tenant


def make(suffix: str = "", *, in_engine: bool = True) -> Cast:
    """Both tenants, with their warehouses, tables and events in the engine unless told otherwise.

    Members of the first are ``owner``, ``editor`` and ``viewer``; the second has its own owner.
    """
    cast = Cast(*(_tenant(name, suffix, in_engine=in_engine) for name in ("shop", CANARY)))
    for role in ("owner", "editor", "viewer"):
        _member(cast.own, role, role)
    _member(cast.other, f"{CANARY}_owner", "owner")
    if in_engine:
        Slice(None, seconds=1.5).run()
        landed = StreamPartition.across_tenants.filter(landed=1, quarantined=1)
        assert landed.count() == 2, "of each tenant one event fits"
    for tenant, name, figure in ((cast.own, "shop", 3), (cast.other, CANARY, 735_913_000)):
        _spend(tenant, name, figure)
    return cast


def _member(tenant: Tenant, name: str, role: str) -> None:
    user = User.objects.create_user(name, f"{name}@example.com", PASSWORD, is_staff=True)
    Membership.objects.create(tenant=tenant, user=user, role=role)


def _tenant(name: str, suffix: str, *, in_engine: bool) -> Tenant:
    tenant = Tenant.objects.create(slug=f"{name}{suffix}", name=f"The {name}")
    warehouse = create_warehouse(tenant)
    table = Table.objects.create(tenant=tenant, name=f"{name}_events", sorting_key=["n"])
    Column.objects.create(table=table, name="n", type="UInt32")
    kind = "Nullable(String)"
    Column.objects.create(table=table, name=f"{name}_column", type=kind, required=False)
    if in_engine:
        provision(warehouse)
        provision_table(table)
        table.refresh_from_db()
        assert table.applied, table.error
    connection = Connection.objects.create(
        tenant=tenant,
        name=f"{name}_broker",
        kind="kafka",
        addresses="127.0.0.1:1",
        username=f"{name}_login",
        password=f"{name}-password",
    )
    Source.objects.create(
        tenant=tenant,
        name=f"{name}_topic",
        connection=connection,
        stream=f"{name}-stream",
        table=table,
        active=False,
        error=f"The {name} broker is away.",
        error_at=timezone.now(),
    )
    source = Source.objects.create(tenant=tenant, name=f"{name}_http", table=table)
    accept(source, [b'{"n": 1}', b'{"n": "' + name.encode() + b'"}'])
    _read(source, name)
    query = SavedQuery.objects.create(
        tenant=tenant,
        name=f"{name}_query",
        description=f"Of {name}",
        sql=f"SELECT n FROM {name}_events",
    )
    SavedQueryVersion.objects.create(query=query, number=1, sql=query.sql)
    keys.create_key(tenant, f"{name} key")
    Backfill.objects.create(
        table=table, name=f"{name}.csv", sha256="ab", format="csv", chunk_rows=10
    )
    BackfillRun.objects.create(
        table=table, name=f"{name}_run.csv", actor=name, error=name, rows=1, step=f"loading {name}"
    )
    record("source.pause", source, tenant=tenant, detail={"said": name})
    return tenant


def _spend(tenant: Tenant, name: str, figure: int) -> None:
    """A plan, what was used of it on days of three months, and the limit that was reached."""
    tenant.plan = Plan.objects.create(name=f"{tenant.slug} plan", requests_a_minute=figure)
    tenant.save(update_fields=["plan"])
    keys_of = rows_of(tenant, APIKey)
    keys_of.update(prefix=name)
    today = timezone.now().date()
    figures = dict.fromkeys(("requests", "queries", "rows_read", "events"), figure)
    for days in (0, 1, 2, 40, 80):
        day = today - timedelta(days=days)
        Usage.objects.create(tenant=tenant, day=day, key=keys_of.get(), **figures)
        Usage.objects.create(tenant=tenant, day=day, bytes=figure, storage_bytes=figure)
    IngestionHold.objects.create(
        tenant=tenant, limit="events_a_day", value=figure, reason=f"The {name} has had {figure:,}."
    )


def _read(source: Source, name: str) -> None:
    now = timezone.now()
    part = StreamPartition.across_tenants.get(source=source)
    SourceMinute.objects.create(
        source=source, began_at=now.replace(second=0, microsecond=0) - timedelta(minutes=9), rows=9
    )
    StreamPartition.across_tenants.filter(pk=part.pk).update(stream_id=f"{name}-id")
    Batch.objects.create(partition=part, from_offset=0, to_offset=0, epoch=1, state="settled")
    Gap.objects.create(partition=part, from_offset=90, to_offset=99, reason="deleted")
    FoldedBatches.objects.create(
        partition=part,
        from_offset=0,
        to_offset=0,
        batches=1,
        rows=0,
        deduplicated=0,
        quarantined=0,
        bytes=9,
        opened_at=now,
        done_at=now,
    )


def tells_of_other(text: str) -> bool:
    return any(one in text.lower() for one in (CANARY, FIGURE, FIGURE.replace(",", "")))


def rows_of(tenant: Tenant, model: type[Model]) -> Any:
    """The tenant's rows of a model, and of what is no tenant's those that have to do with it."""
    manager: Any = model._default_manager
    if isinstance(manager, ScopedManager):
        return manager.for_tenant(tenant.pk)
    way = {User: "memberships__tenant", Plan: "tenants"}.get(model)
    if way is None:
        msg = f"{model._meta.label} is no tenant's: say in walking/cast.py which rows to look at."
        raise AssertionError(msg)
    return model._base_manager.filter(**{way: tenant})
