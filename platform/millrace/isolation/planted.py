"""The objects that a check plants in each tenant and removes afterwards."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from string import Template

from analytics_api.models import SavedQuery
from analytics_api.services.saved_queries import publish
from ingestion.ddl.names import filtered, quarantine
from ingestion.models import Column, Connection, Source, Table
from ingestion.provision import provision_table
from ingestion.services.tables import delete_table
from tenants.models import APIKey, Tenant, TenantStatus, Warehouse
from tenants.provisioning.warehouse import provision, remove
from tenants.services.warehouses import create_warehouse
from tenants.warehouse import client
from tenants.warehouse.errors import translated

#: Leaves out nothing that is planted. A table whose source has a filter keeps what is filtered.
_FILTER = "word != 'aside'"
#: The word is also in the SQL itself: if a tenant runs another tenant's query, the answer shows
#: that tenant's word even though the query reads the caller's own table.
_QUERY = Template("SELECT any(word) AS word, count() AS found, '$word' AS text FROM $table")


class CannotPlant(Exception):
    """The check can't begin. The message says why and what to do."""


@dataclass(frozen=True)
class Planted:
    """One tenant and the objects planted in it; each of its ``count`` rows contains ``word``.

    So do a message in quarantine and a filtered one. Every tenant has a query, a table and a
    connection named ``shared``, and a source named ``stream``. ``own_query``, ``own_source``,
    ``own_table`` and ``own_connection`` are names that only this tenant uses, all of the same
    length.
    """

    tenant: Tenant
    word: str
    count: int
    shared: str
    stream: str
    own_query: str
    own_source: str
    own_table: str
    own_connection: str
    keys: list[APIKey] = field(default_factory=list)

    @property
    def warehouse(self) -> Warehouse:
        return self.tenant.warehouse

    def marks(self) -> tuple[str, ...]:
        """Texts that no answer to another tenant may contain."""
        return (
            self.word,
            self.own_query,
            self.own_source,
            self.own_table,
            self.own_connection,
            self.warehouse.database,
            self.warehouse.password,
            *(key.prefix for key in self.keys),
        )


@contextmanager
def planted(tenants: Sequence[Tenant]) -> Iterator[list[Planted]]:
    """Plant objects in each tenant, and remove them at the end in any case.

    Raises CannotPlant and WarehouseError.
    """
    run = secrets.token_hex(4)
    all_planted: list[Planted] = []
    try:
        for number, tenant in enumerate(tenants, start=1):
            target = Planted(
                tenant=tenant,
                word=f"canary{secrets.token_hex(8)}",
                count=100 + 7 * number,
                shared=f"isolation_{run}",
                stream=f"isolation_{run}",
                own_query=f"isolation_{run}_q{number}",
                own_source=f"isolation_{run}_s{number}",
                own_table=f"isolation_{run}_t{number}",
                own_connection=f"isolation_{run}_c{number}",
            )
            # Before planting, so that a tenant whose planting fails half-way is cleaned up too.
            all_planted.append(target)
            _plant(target)
        yield all_planted
    finally:
        for target in all_planted:
            _take_away(target)


def _plant(target: Planted) -> None:
    table = _table(target, target.shared)
    for name in (target.stream, target.own_source):
        # Paused, so that no worker consumes it; its endpoints still answer and accept events.
        Source.objects.create(
            tenant=target.tenant, name=name, table=table, active=False, filter=_FILTER
        )
    _provision(target, table)
    _provision(target, _table(target, target.own_table))
    for name in (target.shared, target.own_connection):
        # No source reads from it, so Millrace never connects to this address.
        Connection.objects.create(
            tenant=target.tenant, name=name, kind="kafka", addresses="isolation.invalid:9092"
        )
    _insert(target, target.shared, "word", target.count)
    _insert(target, quarantine(target.shared), "raw")
    _insert(target, filtered(target.shared), "_message_id")
    sql = _QUERY.substitute(table=target.shared, word=target.word)
    for name in (target.shared, target.own_query):
        query = SavedQuery(tenant=target.tenant, name=name, sql=sql, description=target.word)
        query.save()
        publish(query)


def _table(target: Planted, name: str) -> Table:
    table = Table.objects.create(tenant=target.tenant, name=name)
    Column.objects.create(table=table, name="word", type="String")
    return table


def _provision(target: Planted, table: Table) -> None:
    provision_table(table)
    table.refresh_from_db()
    if not table.applied:
        msg = f"The check's table could not be created in {target.warehouse}: {table.error}"
        raise CannotPlant(msg)


def _insert(target: Planted, table: str, column: str, count: int = 1) -> None:
    database = target.warehouse.database
    with translated():
        client.admin().insert(
            table, [[target.word]] * count, column_names=[column], database=database
        )


def _take_away(target: Planted) -> None:
    APIKey.objects.filter(tenant=target.tenant, pk__in=[key.pk for key in target.keys]).delete()
    names = [target.shared, target.own_query]
    SavedQuery.objects.filter(tenant=target.tenant, name__in=names).delete()
    Source.objects.filter(
        tenant=target.tenant, name__in=[target.stream, target.own_source]
    ).delete()
    connections = [target.shared, target.own_connection]
    Connection.objects.filter(tenant=target.tenant, name__in=connections).delete()
    for table in Table.objects.filter(
        tenant=target.tenant, name__in=[target.shared, target.own_table]
    ):
        delete_table(table)


@contextmanager
def throw_away(count: int, *, status: TenantStatus = TenantStatus.ACTIVE) -> Iterator[list[Tenant]]:
    """Create temporary tenants with warehouses for one check; raises CannotPlant."""
    tenants: list[Tenant] = []
    try:
        for _ in range(count):
            slug = f"isolation_{secrets.token_hex(4)}"
            tenant = Tenant.objects.create(slug=slug, name="Isolation check", status=status)
            tenants.append(tenant)
            warehouse = create_warehouse(tenant)
            provision(warehouse)
            if not warehouse.applied:
                msg = f"The warehouse of a temporary tenant was not created: {warehouse.error}"
                raise CannotPlant(msg)
        yield tenants
    finally:
        for tenant in tenants:
            _throw_away(tenant)


def _throw_away(tenant: Tenant) -> None:
    warehouse = Warehouse.objects.filter(tenant=tenant).first()
    if warehouse is not None:
        remove(warehouse.database, warehouse.username)
    tenant.delete()
