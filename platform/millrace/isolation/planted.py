"""What each tenant is given for the time of a check, and how it is taken away again."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from string import Template

from analytics_api.models import SavedQuery
from analytics_api.services.saved_queries import publish
from ingestion.models import Column, Connection, Source, Table
from ingestion.provision import provision_table
from ingestion.services.tables import delete_table
from tenants.models import APIKey, Tenant, TenantStatus, Warehouse
from tenants.provisioning.warehouse import provision, remove
from tenants.services.warehouses import create_warehouse
from tenants.warehouse import client
from tenants.warehouse.errors import translated

#: The word stands in the text too: a query of another's is seen, though it reads one's own table.
_QUERY = Template("SELECT any(word) AS word, count() AS found, '$word' AS text FROM $table")


class CannotPlant(Exception):
    """The check can't begin. The text says why, and what to do."""


@dataclass(frozen=True)
class Planted:
    """One tenant and what it was given; ``word`` stands in each of its ``count`` rows.

    ``shared`` is the name of a query, a table and a connection, and ``stream`` that of a source,
    that every tenant has; ``own_query``, ``own_source``, ``own_table`` and ``own_connection`` are
    names that it alone has, all of one length.
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
        """Texts that no answer to another tenant may hold."""
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
    """Plant in each; whatever happens, nothing stays. Raises CannotPlant, WarehouseError."""
    run = secrets.token_hex(4)
    made: list[Planted] = []
    try:
        for number, tenant in enumerate(tenants, start=1):
            one = Planted(
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
            made.append(one)
            _plant(one)
        yield made
    finally:
        for one in made:
            _take_away(one)


def _plant(one: Planted) -> None:
    table = _table(one, one.shared)
    _table(one, one.own_table)
    for name in (one.shared, one.own_connection):
        # Nothing is read from it, so that nobody ever goes there.
        Connection.objects.create(
            tenant=one.tenant, name=name, kind="kafka", addresses="isolation.invalid:9092"
        )
    with translated():
        client.admin().insert(
            one.shared,
            [[one.word]] * one.count,
            column_names=["word"],
            database=one.warehouse.database,
        )
    for name in (one.stream, one.own_source):
        # Paused, so that no worker takes it up; it answers and takes events all the same.
        Source.objects.create(tenant=one.tenant, name=name, table=table, active=False)
    sql = _QUERY.substitute(table=one.shared, word=one.word)
    for name in (one.shared, one.own_query):
        query = SavedQuery(tenant=one.tenant, name=name, sql=sql, description=one.word)
        query.save()
        publish(query)


def _table(one: Planted, name: str) -> Table:
    table = Table.objects.create(tenant=one.tenant, name=name)
    Column.objects.create(table=table, name="word", type="String")
    provision_table(table)
    table.refresh_from_db()
    if not table.applied:
        msg = f"The table of the check could not be made in {one.warehouse}: {table.error}"
        raise CannotPlant(msg)
    return table


def _take_away(one: Planted) -> None:
    APIKey.objects.filter(tenant=one.tenant, pk__in=[key.pk for key in one.keys]).delete()
    names = [one.shared, one.own_query]
    SavedQuery.objects.filter(tenant=one.tenant, name__in=names).delete()
    Source.objects.filter(tenant=one.tenant, name__in=[one.stream, one.own_source]).delete()
    connections = [one.shared, one.own_connection]
    Connection.objects.filter(tenant=one.tenant, name__in=connections).delete()
    for table in Table.objects.filter(tenant=one.tenant, name__in=[one.shared, one.own_table]):
        delete_table(table)


@contextmanager
def throw_away(count: int, *, status: TenantStatus = TenantStatus.ACTIVE) -> Iterator[list[Tenant]]:
    """Tenants for the time of a check, with their warehouses; raises CannotPlant."""
    made: list[Tenant] = []
    try:
        for _ in range(count):
            slug = f"isolation_{secrets.token_hex(4)}"
            tenant = Tenant.objects.create(slug=slug, name="Check of the isolation", status=status)
            made.append(tenant)
            warehouse = create_warehouse(tenant)
            provision(warehouse)
            if not warehouse.applied:
                msg = f"The warehouse of a throw-away tenant was not made: {warehouse.error}"
                raise CannotPlant(msg)
        yield made
    finally:
        for tenant in made:
            _throw_away(tenant)


def _throw_away(tenant: Tenant) -> None:
    warehouse = Warehouse.objects.filter(tenant=tenant).first()
    if warehouse is not None:
        remove(warehouse.database, warehouse.username)
    tenant.delete()
