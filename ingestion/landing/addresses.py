"""Where a table stands in ClickHouse: its inbox, the table itself, its quarantine."""

from __future__ import annotations

from dataclasses import dataclass, replace

from django.conf import settings

from ingestion import versions
from ingestion.ddl import names
from ingestion.ddl.spec import ColumnSpec, TableSpec
from ingestion.ddl.types import canonical, parse
from ingestion.landing.direct_insert import Place
from ingestion.models import Table
from ingestion.provision import existing, spec_of
from tenants.warehouse import client
from tenants.warehouse.quoting import identifier, string


@dataclass(frozen=True, slots=True)
class Address:
    """Where a table's inbox, the table itself and its quarantine stand, quoted for SQL.

    The inbox and ``columns`` are those of ``version``. Where the table has wider types by now,
    ``stored`` has them; without it an insert past the views is refused then.
    """

    inbox: str
    table: str
    quarantine: str
    leftovers: str
    columns: tuple[ColumnSpec, ...] = ()
    version: int = 1
    stored: tuple[str, ...] = ()

    @property
    def form(self) -> tuple[object, ...]:
        """The same for tables whose rows can be typed together."""
        return self.columns, self.stored

    @property
    def place(self) -> Place:
        """Where rows go past the views."""
        return Place(self.table, self.quarantine, self.columns, self.stored)


def place_of(table: Table) -> Address:
    """Of a table whose tenant has a warehouse: where it stands, for those who only read it."""
    database = identifier(table.tenant.warehouse.database)
    return Address(
        inbox=f"{database}.{identifier(names.inbox(table.name, table.version))}",
        table=f"{database}.{identifier(table.name)}",
        quarantine=f"{database}.{identifier(names.quarantine(table.name))}",
        leftovers=_on_all_replicas(f"{database}.{identifier(names.leftovers(table.name))}"),
        version=table.version,
    )


def address_of(table: Table) -> Address:
    """The way in by the version that ClickHouse has applied.

    Raises TableNotReady, and WarehouseError while the table is being altered.
    """
    if table.applied != table.generation:
        return address_of_version(table, table.version)
    return replace(place_of(table), columns=versions.columns_of(table))


def address_of_version(table: Table, number: int) -> Address:
    """The way in of a batch that was announced for a version.

    What a later version has widened is stored as the table has it by now. There is no inbox where
    the version's pipeline is gone, as after an upgrade from a release that dropped it first; then
    nothing can arrive by it any more. Raises TableNotReady, WarehouseError.
    """
    spec = spec_of(table)
    columns = versions.columns_of(table, number)
    inbox = f"{identifier(spec.database)}.{identifier(names.inbox(table.name, number))}"
    stands = client.rows(f"EXISTS TABLE {inbox}")[0]["result"]
    return replace(
        place_of(table),
        inbox=inbox if stands else "",
        columns=columns,
        version=number,
        stored=_stored(spec, columns),
    )


def _stored(spec: TableSpec, columns: tuple[ColumnSpec, ...]) -> tuple[str, ...]:
    """The types that the table has of the columns; empty where they are the columns' own."""
    stands = existing(spec)
    types = stands.columns if stands else {}
    found = tuple(types.get(one.name, one.type) for one in columns)
    is_own = all(
        canonical(parse(kind)) == canonical(parse(one.type))
        for kind, one in zip(found, columns, strict=True)
    )
    return () if is_own else found


def _on_all_replicas(name: str) -> str:
    cluster = settings.CLICKHOUSE_CLUSTER
    return f"clusterAllReplicas({string(cluster)}, {name})" if cluster else name
