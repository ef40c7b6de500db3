"""The names in ClickHouse of a table's inbox, the table itself and its quarantine."""

from __future__ import annotations

from dataclasses import dataclass, replace

from django.conf import settings

from ingestion import versions
from ingestion.batches.batch import Intent
from ingestion.ddl import names
from ingestion.ddl.spec import ColumnSpec, SourceFilter, TableSpec
from ingestion.ddl.types import canonical, parse
from ingestion.landing.direct_insert import Place
from ingestion.landing.fence import Fence
from ingestion.models import Table
from ingestion.provision import existing, spec_of
from tenants.warehouse import client
from tenants.warehouse.quoting import identifier, string


@dataclass(frozen=True, slots=True)
class Address:
    """Names of a table's inbox, the table, its quarantine and its leftovers, quoted for SQL.

    ``inbox``, ``columns`` and ``filters`` belong to ``version``. ``filtered``: the table of what
    filters leave out; empty if no version ever had any. ``stored``: the types of the columns in the
    table, if it has wider types by now; ClickHouse would refuse an insert past the views without
    them. ``inbox`` is empty if the version's pipeline is gone.
    """

    inbox: str
    table: str
    quarantine: str
    leftovers: str
    columns: tuple[ColumnSpec, ...] = ()
    version: int = 1
    stored: tuple[str, ...] = ()
    filters: tuple[SourceFilter, ...] = ()
    filtered: str = ""

    @property
    def form(self) -> tuple[object, ...]:
        """A key that is equal for tables whose rows can be typed together."""
        return self.columns, self.stored, self.filters

    @property
    def leftovers_everywhere(self) -> str:
        """The leftovers on all replicas of a cluster: each has a table of its own."""
        cluster = settings.CLICKHOUSE_CLUSTER
        if not cluster:
            return self.leftovers
        return f"clusterAllReplicas({string(cluster)}, {self.leftovers})"

    def fence_of(self, intent: Intent) -> Fence | None:
        """The fence that the batch's inserts must look at; None for a stream with offsets."""
        return Fence(self.leftovers_everywhere, intent.token) if intent.is_queue else None

    @property
    def place(self) -> Place:
        """Where rows are inserted past the views."""
        return Place(self.table, self.quarantine, self.columns, self.stored, self.filtered)


def place_of(table: Table) -> Address:
    """The address of a table for reading only, without columns. Its tenant has a warehouse."""
    database = identifier(table.tenant.warehouse.database)
    return Address(
        inbox=f"{database}.{identifier(names.inbox(table.name, table.version))}",
        table=f"{database}.{identifier(table.name)}",
        quarantine=f"{database}.{identifier(names.quarantine(table.name))}",
        leftovers=f"{database}.{identifier(names.leftovers(table.name))}",
        version=table.version,
        filtered=f"{database}.{identifier(names.filtered(table.name))}"
        if table.has_filtered
        else "",
    )


def address_of(table: Table) -> Address:
    """The address for inserts with the table version that ClickHouse has applied.

    Raises TableNotReady, and WarehouseError while the table is being altered.
    """
    if table.applied != table.generation:
        return address_of_version(table, table.version)
    version = versions.version_of(table)
    return replace(
        place_of(table), columns=versions.read(version), filters=versions.filters_in(version)
    )


def address_of_version(table: Table, number: int) -> Address:
    """The address for inserting a batch that was announced for version ``number``.

    ``stored`` has the types that a later version has widened. There is no inbox if the version's
    pipeline is gone, as after an upgrade from a release that dropped it first; nothing can arrive
    through it any more. Raises TableNotReady, WarehouseError.
    """
    spec = spec_of(table)
    version = versions.version_of(table, number)
    columns = versions.read(version)
    inbox = f"{identifier(spec.database)}.{identifier(names.inbox(table.name, number))}"
    inbox_exists = client.rows(f"EXISTS TABLE {inbox}")[0]["result"]
    return replace(
        place_of(table),
        inbox=inbox if inbox_exists else "",
        columns=columns,
        version=number,
        stored=_stored(spec, columns),
        filters=versions.filters_in(version),
    )


def _stored(spec: TableSpec, columns: tuple[ColumnSpec, ...]) -> tuple[str, ...]:
    """The types of the columns in the table; empty if they are the columns' own types."""
    table = existing(spec)
    types = table.columns if table else {}
    stored = tuple(types.get(column.name, column.type) for column in columns)
    is_own = all(
        canonical(parse(stored_type)) == canonical(parse(column.type))
        for stored_type, column in zip(stored, columns, strict=True)
    )
    return () if is_own else stored
