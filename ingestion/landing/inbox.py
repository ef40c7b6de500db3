"""The way into ClickHouse: one Arrow block a batch, and questions about what is there.

The views behind the inbox type the messages of the usual form. What they leave over they note, and
it is typed by a query and inserted past them, before the batch counts as landed.
"""

from __future__ import annotations

import hashlib
import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc
from django.conf import settings

from ingestion import versions
from ingestion.batches.batch import Lease, PendingBatch
from ingestion.ddl import names
from ingestion.ddl.spec import INSERT_SETTINGS, ColumnSpec, TableSpec
from ingestion.ddl.types import canonical, parse
from ingestion.landing import direct_insert
from ingestion.landing.direct_insert import Place
from ingestion.landing.query_ids import Target, query_id
from ingestion.models import Table
from ingestion.provision import existing, spec_of
from tenants.warehouse import client
from tenants.warehouse.errors import translated
from tenants.warehouse.quoting import identifier, string

#: Days for which ids of messages that a queue delivers again are looked for.
REMEMBERED_DAYS = 2
#: Why a message is in the quarantine that never came to its typing.
REASON = "crashed_worker"


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


def address(table: Table) -> Address:
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


def insert(to: Address, source_id: int, cut: PendingBatch, token: uuid.UUID | None = None) -> int:
    """Insert a batch; returns how many of its rows did not fit.

    Raises WarehouseError, and then nobody knows what of it landed. One of offsets that hold no
    message has nothing to insert.

    ``token`` defaults to the batch's own. The engine drops a block whose token it has seen. Without
    an inbox all of it is typed by the query, as what the views leave over; pass only what the table
    has not, since what came by the views had other tokens.
    """
    if not cut.rows.num_rows:
        return 0
    messages = table_of(source_id, cut)
    if not to.inbox:
        return _insert_rest(to, messages, cut.intent.token, cut.intent.token)
    token = token or cut.intent.token
    options = INSERT_SETTINGS | {
        "insert_deduplication_token": str(token),
        "query_id": query_id(cut.intent.token, Target.INBOX),
    }
    # Any buffer is sent as it is; the annotation knows only bytes.
    body = cast("bytes", direct_insert.stream(messages))
    with translated():
        client.admin().raw_insert(to.inbox, insert_block=body, settings=options, fmt="ArrowStream")
    rest = _left_over(to, cut.intent.token, messages)
    return _insert_rest(to, rest, cut.intent.token, token) if rest.num_rows else 0


def _left_over(to: Address, batch: uuid.UUID, messages: pa.Table) -> pa.Table:
    """Those of the messages that the views have not typed."""
    sql = f"SELECT DISTINCT _offset FROM {to.leftovers} WHERE _batch = {{batch:UUID}}"  # noqa: S608
    offsets = [row["_offset"] for row in client.rows(sql, {"batch": batch})]
    return messages.filter(pc.is_in(messages["_offset"], value_set=pa.array(offsets, pa.int64())))


def _insert_rest(to: Address, rest: pa.Table, batch: uuid.UUID, token: uuid.UUID) -> int:
    (rows,) = direct_insert.type_rest(rest, to.columns, stored=to.stored).values()
    direct_insert.land(to.place, rows, batch, token_of(token, rest))
    return len(rows.misfits)


def token_of(token: uuid.UUID, rows: pa.Table) -> uuid.UUID:
    """Of a part of a batch: the same for the same rows, so that the engine drops it if repeated."""
    offsets = rows["_offset"].combine_chunks().to_numpy().tobytes()
    return uuid.uuid5(token, hashlib.sha256(offsets).hexdigest())


def put_aside(to: Address, source_id: int, cut: PendingBatch) -> None:
    """Insert messages into the quarantine as they are, past the views; raises WarehouseError.

    Safe to repeat for a stream with offsets: what the table has of them is left out.
    """
    intent = cut.intent
    if held_between(to, intent.lease, intent.from_offset, intent.to_offset):
        return
    options = INSERT_SETTINGS | {
        "insert_deduplication_token": str(intent.token),
        "query_id": query_id(intent.token, Target.QUARANTINE),
    }
    problem = {name: pa.scalar("") for name in ("column", "expected", "value")}
    body = cast("bytes", block(source_id, cut, problem | {"reason": pa.scalar(REASON)}))
    with translated():
        client.admin().raw_insert(
            to.quarantine, insert_block=body, settings=options, fmt="ArrowStream"
        )


def block(
    source_id: int, cut: PendingBatch, more: Mapping[str, pa.Scalar] = MappingProxyType({})
) -> memoryview:
    """The batch as an Arrow stream of one record batch, with the columns of the inbox, and more."""
    return direct_insert.stream(table_of(source_id, cut, more))


def table_of(
    source_id: int, cut: PendingBatch, more: Mapping[str, pa.Scalar] = MappingProxyType({})
) -> pa.Table:
    """The messages of a batch with the columns of the inbox, and more."""
    rows = cut.rows.combine_chunks()
    whole = {
        "_source": pa.scalar(source_id, pa.uint64()),
        "_partition": pa.scalar(cut.intent.lease.number, pa.uint32()),
        "_batch": pa.scalar(cut.intent.token.bytes, pa.binary(16)),
        **more,
    }
    for name, value in whole.items():
        rows = rows.append_column(name, pa.repeat(value, rows.num_rows))
    return rows


def quarantined(of: Address, batches: Collection[uuid.UUID]) -> dict[uuid.UUID, int]:
    """Rows that each of the batches has in the quarantine; batches without any are left out."""
    sql = (
        f"SELECT _batch, count() AS rows FROM {of.quarantine} "  # noqa: S608 - names of ours
        "WHERE _batch IN {batches:Array(UUID)} GROUP BY _batch"
    )
    found = client.rows(sql, {"batches": list(batches)})
    return {row["_batch"]: row["rows"] for row in found}


def _everywhere(of: Address, columns: str, condition: str) -> str:
    return " UNION ALL ".join(
        f"SELECT {columns} FROM {place} WHERE {condition}"  # noqa: S608 - names of ours
        for place in (of.table, of.quarantine)
    )


def most_partitions(table: Table) -> int:
    """How many partitions the tenant's table with the most of them has, rollups among them.

    So many blocks one insert can leave in the window of each.
    """
    sql = (
        "SELECT max(partitions) AS most FROM (SELECT uniqExact(partition_id) AS partitions "
        "FROM system.parts WHERE active AND database = {database:String} GROUP BY table)"
    )
    return int(client.rows(sql, {"database": table.tenant.warehouse.database})[0]["most"])


def held(of: Address, batch: uuid.UUID) -> list[int]:
    """The offsets that the table and the quarantine hold of a batch, once a row."""
    sql = _everywhere(of, "_offset", "_batch = {batch:UUID}")
    return [row["_offset"] for row in client.rows(sql, {"batch": batch})]


def counts(of: Address, batches: Collection[uuid.UUID]) -> dict[uuid.UUID, int]:
    """Rows that the table and the quarantine hold of each batch; those without any are left out."""
    sql = _everywhere(of, "_batch, count() AS rows", "_batch IN {batches:Array(UUID)} GROUP BY 1")
    found: Counter[uuid.UUID] = Counter()
    for row in client.rows(sql, {"batches": list(batches)}):
        found[row["_batch"]] += row["rows"]
    return found


def held_between(of: Address, lease: Lease, start: int, end: int) -> list[int]:
    """The offsets in ``[start, end)`` that the table and the quarantine hold of any batch."""
    condition = (
        "_source = {source:UInt64} AND _partition = {number:UInt32} "
        "AND _offset >= {start:Int64} AND _offset < {end:Int64}"
    )
    bound = {"source": lease.source_id, "number": lease.number, "start": start, "end": end}
    sql = _everywhere(of, "_offset", condition + since(lease.began_at, bound))
    return [row["_offset"] for row in client.rows(sql, bound)]


def since(began_at: datetime | None, bound: dict[str, int]) -> str:
    """The condition that leaves out rows of a stream that is gone; what it needs goes to ``bound``.

    So that nobody pays for it whose stream was never made again, it is empty then.
    """
    if began_at is None:
        return ""
    bound["since"] = round(began_at.timestamp() * 1000)
    return " AND _ingested_at >= fromUnixTimestamp64Milli({since:Int64})"


def message_ids(of: Address, batches: Collection[uuid.UUID]) -> Iterable[str]:
    """The message ids that the table and the quarantine hold of the batches, once a row."""
    sql = _everywhere(of, "_message_id", "_batch IN {batches:Array(UUID)}")
    return (row["_message_id"] for row in client.rows(sql, {"batches": list(batches)}))


def known_ids(of: Address, source_id: int, ids: Collection[str]) -> set[str]:
    """Which of the message ids the table or the quarantine has from this source."""
    sql = _everywhere(
        of,
        "_message_id",
        "_source = {source:UInt64} AND _message_id IN {ids:Array(String)} "
        f"AND _ingested_at > now() - INTERVAL {REMEMBERED_DAYS} DAY",
    )
    return {row["_message_id"] for row in client.rows(sql, {"source": source_id, "ids": list(ids)})}
