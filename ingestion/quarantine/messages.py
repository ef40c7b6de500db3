"""Reads the stored messages of a quarantine, a chunk at a time, in the order of their arrival."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.ddl import metadata
from ingestion.ddl.create import ORIGIN_TYPES
from ingestion.ddl.spec import ColumnSpec
from ingestion.errors import IngestionError
from ingestion.landing.addresses import place_of
from ingestion.models import QuarantineChunk, Table
from ingestion.quarantine.misfit_selection import Selection
from tenants.warehouse import client
from tenants.warehouse.errors import StatementFailed, translated

#: The most messages of one chunk, and their bytes together; one larger message is a chunk alone.
CHUNK_ROWS, CHUNK_BYTES = 10_000, 32 << 20
#: A statement names each message of a chunk, with some 60 bytes.
MANY_KEYS = {"max_query_size": 64 << 20}
_LIMITS = {
    "max_execution_time": 300,
    "max_memory_usage": 4 << 30,
    "output_format_arrow_string_as_string": 0,
    "output_format_arrow_fixed_string_as_fixed_byte_array": 1,
    **MANY_KEYS,
}
#: The order of messages in a quarantine.
PLACE = "_ingested_at, _source, _partition, _offset, _batch"

#: A message: its batch and its offset. No two messages that were ever received share both.
Key = tuple[uuid.UUID, int]


class RepairFailed(IngestionError):
    """The repair raised an error on a stored message."""


@dataclass(frozen=True, slots=True)
class Messages:
    """Stored messages. ``rows`` has the columns of an inbox; ``raw`` is the repaired text.

    ``keys``, ``ingested`` (ms since 1970) and ``as_sent`` (the stored bytes) are in the same order.
    ``cursor`` is the place of the last one. ``unrepaired``: the repair gave NULL for these keys,
    which ``rows`` lacks. ``places``: source and number of the partition, and ``ingested``.
    """

    rows: pa.Table
    keys: Sequence[Key]
    ingested: Mapping[Key, int]
    as_sent: Mapping[Key, bytes]
    unrepaired: frozenset[Key]
    cursor: list[Any]
    places: Mapping[Key, tuple[tuple[int, int], int]]


def total(selection: Selection) -> int:
    """How many messages are selected; raises WarehouseError."""
    sql = f"SELECT count() AS n FROM {place_of(selection.table).quarantine} WHERE "
    return int(client.rows(sql + selection.condition, selection.parameters)[0]["n"])


def next_chunk(
    selection: Selection,
    after: Sequence[Any] | None,
    repair: str = "",
    most: int = CHUNK_ROWS,
    *,
    columns: Sequence[ColumnSpec] = (),
) -> Messages | None:
    """The selected messages that follow the place ``after``, None if there are none.

    ``columns``: those that will type the messages. Raises RepairFailed and WarehouseError.
    """
    sql, bound = page(selection, after, most)
    return _read(sql, bound, repair, columns)


def page(
    selection: Selection, after: Sequence[Any] | None, most: int = CHUNK_ROWS
) -> tuple[str, dict[str, Any]]:
    """SQL for the whole rows that follow the place ``after``, and its parameters.

    It selects at most ``most`` rows and CHUNK_BYTES, but at least one row, in no order.
    """
    condition, bound = selection.condition, dict(selection.parameters)
    if after is not None:
        place = (
            "(fromUnixTimestamp64Milli({a0:Int64}, 'UTC'), {a1:UInt64}, {a2:UInt32}, {a3:Int64}, "
            "{a4:UUID})"
        )
        condition += (
            " AND _ingested_at >= fromUnixTimestamp64Milli({a0:Int64}, 'UTC') "
            f"AND ({PLACE}) > {place}"
        )
        bound |= {f"a{index}": value for index, value in enumerate(after)}
    chosen = (
        f"SELECT * FROM {place_of(selection.table).quarantine} "
        f"WHERE {condition} ORDER BY {PLACE} LIMIT {most:d}"
    )
    sql = (
        f"SELECT * FROM (SELECT *, sum(length(raw)) OVER (ORDER BY {PLACE} ROWS BETWEEN "
        f"UNBOUNDED PRECEDING AND CURRENT ROW) - length(raw) AS before FROM ({chosen})) "
        f"WHERE before < {CHUNK_BYTES}"
    )
    return sql, bound


def of_chunk(
    table: Table, chunk: QuarantineChunk, repair: str, columns: Sequence[ColumnSpec] = ()
) -> Messages | None:
    """The messages of a chunk that are still in quarantine; None if there are none.

    ``columns`` is that of ``next_chunk``. Raises RepairFailed and WarehouseError.
    """
    where = f"SELECT * FROM {place_of(table).quarantine} WHERE {condition_of(chunk)}"
    return _read(where, {}, repair, columns)


def condition_of(chunk: QuarantineChunk) -> str:
    """A SQL condition for the messages that a chunk names."""
    return (
        f"_ingested_at >= fromUnixTimestamp64Milli({chunk.from_ms:d}, 'UTC') "
        f"AND _ingested_at <= fromUnixTimestamp64Milli({chunk.to_ms:d}, 'UTC') "
        f"AND {naming(keys_of(chunk.keys))}"
    )


def naming(keys: Sequence[Key]) -> str:
    """A SQL condition for the messages with these keys, at least one."""
    batches = ", ".join(f"'{batch}'" for batch in {batch for batch, _ in keys})
    pairs = ", ".join(f"('{batch}', {offset:d})" for batch, offset in keys)
    return f"_batch IN ({batches}) AND (_batch, _offset) IN ({pairs})"


def in_table(table: Table, keys: Sequence[Key]) -> set[Key]:
    """Which of the messages the table has, or a filter has left out; raises WarehouseError."""
    if not keys:
        return set()
    at = place_of(table)
    sql = " UNION ALL ".join(
        f"SELECT _batch, _offset FROM {place} WHERE {naming(keys)}"
        for place in filter(None, (at.table, at.filtered))
    )
    return {(row["_batch"], row["_offset"]) for row in client.rows(sql, options=MANY_KEYS)}


def keys_of(stored: Mapping[str, Sequence[int]]) -> list[Key]:
    """The keys that a chunk stores."""
    return [(uuid.UUID(batch), offset) for batch, offsets in stored.items() for offset in offsets]


def stored(keys: Sequence[Key]) -> dict[str, list[int]]:
    """The keys as a chunk stores them."""
    by_batch: dict[str, list[int]] = defaultdict(list)
    for batch, offset in keys:
        by_batch[str(batch)].append(offset)
    return dict(by_batch)


def _taken(columns: Sequence[ColumnSpec]) -> str:
    """What an inbox has, but for the message itself.

    The token's bytes have a name of their own: ORDER BY means the column, not an alias of its name.
    """
    carried = [name for name in metadata.carried(columns) if name != "raw"]
    return ", ".join(
        name if name != "_batch" else "UUIDStringToNum(toString(_batch)) AS token"
        for name in (*ORIGIN_TYPES, *carried)
    )


def _read(
    sql: str, bound: Mapping[str, Any], repair: str, columns: Sequence[ColumnSpec]
) -> Messages | None:
    # The author's expression sees raw alone: whatever it names, no other column is in its scope.
    repaired = f"CAST({repair}, 'Nullable(String)')" if repair else "CAST(raw, 'Nullable(String)')"
    statement = (
        f"SELECT {_taken(columns)}, raw, {repaired} AS repaired, "
        f"toUnixTimestamp64Milli(_ingested_at) AS ms FROM ({sql}) ORDER BY {PLACE} "
        "FORMAT ArrowStream"
    )
    try:
        with translated():
            answer = client.admin().raw_query(statement, parameters=dict(bound), settings=_LIMITS)
    except StatementFailed as error:
        if not repair:
            raise
        # Behind it ClickHouse names the function with its own names of the columns.
        why = error.message.partition(": while executing")[0][:300].rstrip(".")
        msg = (
            f"The repair failed on a stored message: {why}. Let it give NULL for messages that it "
            "can't mend: they stay in quarantine."
        )
        raise RepairFailed(msg) from error
    read = pa.ipc.open_stream(answer).read_all().rename_columns({"token": "_batch"})
    return _messages(read) if read.num_rows else None


def _messages(read: pa.Table) -> Messages:
    keys = [
        (uuid.UUID(bytes=batch), offset)
        for batch, offset in zip(
            read["_batch"].to_pylist(), read["_offset"].to_pylist(), strict=True
        )
    ]
    times, texts = read["ms"].to_pylist(), read["raw"].cast(pa.binary()).to_pylist()
    last = read.slice(read.num_rows - 1)
    place = [last[name][0].as_py() for name in ("ms", "_source", "_partition", "_offset")]
    is_null = read["repaired"].is_null()
    unrepaired = frozenset(key for key, null in zip(keys, is_null.to_pylist(), strict=True) if null)
    rows = read.drop_columns(["raw", "ms"]).rename_columns({"repaired": "raw"})
    return Messages(
        rows=rows.filter(pc.invert(is_null)) if unrepaired else rows,
        keys=keys,
        ingested=dict(zip(keys, times, strict=True)),
        as_sent=dict(zip(keys, texts, strict=True)),
        unrepaired=unrepaired,
        cursor=[*place, str(keys[-1][0])],
        places={
            key: ((source, number), ms)
            for key, source, number, ms in zip(
                keys,
                read["_source"].to_pylist(),
                read["_partition"].to_pylist(),
                times,
                strict=True,
            )
        },
    )


def chunks(
    selection: Selection, repair: str, most: int, columns: Sequence[ColumnSpec]
) -> Iterator[Messages]:
    """The first ``most`` selected messages, in chunks. Raises RepairFailed and WarehouseError."""
    after, left = None, most
    while left > 0:
        chunk = next_chunk(selection, after, repair, min(left, CHUNK_ROWS), columns=columns)
        if chunk is None:
            return
        yield chunk
        after, left = chunk.cursor, left - len(chunk.keys)
