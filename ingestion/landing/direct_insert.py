"""Types messages by a query, and inserts their rows past the views.

The query returns each row as the bytes that its table takes (RowBinary), so that nothing is decoded
here. A short SELECT types the messages of the usual form, which most are. A long SELECT types the
others: it knows every form, and why a message does not fit. ClickHouse takes ten times as long to
analyse it, for one message as for a thousand. So it asks in detail only about columns that have had
another form than the usual one before, and is repeated if it meets more of them.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import pyarrow as pa

from ingestion.ddl import rows as ddl
from ingestion.ddl.source_filters import FILTERED
from ingestion.ddl.spec import INSERT_SETTINGS, STATEMENT_SETTINGS, ColumnSpec, SourceFilter
from ingestion.landing.external_data import SENT, Statement
from ingestion.landing.fence import Fence
from ingestion.landing.query_ids import Target, query_id
from tenants.warehouse import client
from tenants.warehouse.errors import translated

_TYPED = ("batch", "offset", "fits", "row", "fitting", FILTERED)
#: A row is refused if its column has another type by now, instead of being misread.
_STRICT = {"input_format_with_types_use_header": 1, "input_format_with_names_use_header": 1}
#: Spreading few rows over threads takes longer than it saves: a tenth of such an insert.
_ONE_THREAD = {"max_threads": 1, "input_format_parallel_parsing": 0}
_ROW_SETTINGS = INSERT_SETTINGS | _STRICT | _ONE_THREAD
_ROW_FORMAT = "RowBinaryWithNamesAndTypes"
#: The query reads values as an insert does.
_OPTIONS = {
    **{name: value for name, value in INSERT_SETTINGS.items() if name.startswith("input_format_")},
    # There is no table to read less of. Optimising the plan takes a third of the time of a query of
    # 50 messages. It makes one of 3,000 four times as slow: it merges the steps, and then computes
    # what they share once for each use.
    "query_plan_enable_optimizations": 0,
    **STATEMENT_SETTINGS,
}


@dataclass(slots=True)
class Rows:
    """One batch's rows as RowBinary: ``good`` for the table, ``misfits`` for the quarantine.

    ``filtered``: the origins of messages that a filter leaves out.
    """

    good: list[bytes] = field(default_factory=list)
    misfits: list[bytes] = field(default_factory=list)
    filtered: list[bytes] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Place:
    """A table and its quarantine, quoted for SQL, and the table's columns.

    ``stored``: the types of the columns in the table, if they differ from the columns' by now.
    ``filtered``: the table of filtered messages, empty if there is none.
    """

    table: str
    quarantine: str
    columns: tuple[ColumnSpec, ...]
    stored: tuple[str, ...] = ()
    filtered: str = ""


def type_all(
    messages: pa.Table,
    columns: tuple[ColumnSpec, ...],
    stored: tuple[str, ...] = (),
    filters: tuple[SourceFilter, ...] = (),
) -> dict[str, Rows]:
    """Type messages; returns the rows of each batch by its token. Raises WarehouseError.

    ``messages`` has the columns of an inbox, and may hold several batches of like tables.
    ``stored`` is that of ``Place``. ``filters``: those of the version with these columns.
    """
    typed: dict[str, Rows] = defaultdict(Rows)
    others = set()
    quick = _ask(ddl.quick_rows(columns, SENT, stored, filters), messages, columns)
    for batch, offset, row, is_filtered in _lists(quick, "batch", "offset", "row", FILTERED):
        if row:
            rows = typed[batch]
            (rows.filtered if is_filtered else rows.good).append(row)
        else:
            others.add((batch, offset))
    if others:
        type_rest(_selected(messages, others), columns, typed, stored, filters)
    return typed


def type_rest(
    messages: pa.Table,
    columns: tuple[ColumnSpec, ...],
    typed: dict[str, Rows] | None = None,
    stored: tuple[str, ...] = (),
    filters: tuple[SourceFilter, ...] = (),
) -> dict[str, Rows]:
    """Type messages that are not of the usual form; adds their rows to ``typed`` and returns it.

    Raises WarehouseError.
    """
    typed = defaultdict(Rows) if typed is None else typed
    suspected = suspects(columns)
    sure: list[tuple[int, str, bool, bool, bytes]] = []
    while messages.num_rows:
        sql = ddl.typed_rows(columns, SENT, frozenset(suspected), stored, filters)
        answer = _ask(sql, messages, columns)
        unsure = set()
        for batch, offset, fits, row, fitting, is_filtered in _lists(answer, *_TYPED):
            if fitting:
                unsure.add((batch, offset))
                suspected.update(index for index, is_usual in enumerate(fitting) if not is_usual)
            else:
                sure.append((offset, batch, is_filtered, fits, row))
        messages = _selected(messages, unsure) if unsure else messages.slice(0, 0)
    # In which round a row is typed depends on the forms that this process has met. After a crash
    # another process repeats the insert, and the block under one token must be the same: sort.
    for _, batch, is_filtered, fits, row in sorted(sure):
        rows = typed[batch]
        (rows.filtered if is_filtered else rows.good if fits else rows.misfits).append(row)
    return typed


@lru_cache(maxsize=1_000)
def suspects(columns: tuple[ColumnSpec, ...]) -> set[int]:
    """Indices of the columns that have had an unusual form, since this process began.

    One set is shared by the process's threads and by all tables with these columns.
    """
    return set()


def land(
    to: Place,
    rows: Rows,
    batch: uuid.UUID,
    token: uuid.UUID | None = None,
    fence: Fence | None = None,
) -> None:
    """Insert rows of a batch where they belong, under one token, by default the batch's.

    Misfits go first, then the origins of filtered messages. Raises WarehouseError, Fenced.
    """
    once = {"insert_deduplication_token": str(token or batch)}
    for target, table, header, body in _inserts(to, rows):
        _insert(table, header, body, once | {"query_id": query_id(batch, target)}, fence)


def land_replayed(to: Place, rows: Rows, chunk: uuid.UUID, token: uuid.UUID) -> None:
    """Insert rows from the quarantine into the table; each ends with its ``_ingested_at``.

    ``chunk`` names the insert, as a batch does in ``land``. Raises WarehouseError.
    """
    once = {"insert_deduplication_token": str(token)}
    if rows.filtered:
        options = once | {"query_id": query_id(chunk, Target.FILTERED)}
        _insert(to.filtered, ddl.replayed_filtered_header(), rows.filtered, options)
    if rows.good:
        options = once | {"query_id": query_id(chunk, Target.TABLE)}
        _insert(to.table, ddl.replayed_header(to.columns, to.stored), rows.good, options)


def _insert(
    table: str,
    header: ddl.Header,
    body: list[bytes],
    options: Mapping[str, str],
    fence: Fence | None = None,
) -> None:
    data, settings = b"".join([header.bytes, *body]), {**_ROW_SETTINGS, **options}
    if fence is not None:
        fence.insert(table, header, data, _ROW_FORMAT, settings)
        return
    with translated():
        client.admin().raw_insert(
            table,
            column_names=header.names,
            insert_block=data,
            settings=settings,
            fmt=_ROW_FORMAT,
        )


def stream(rows: pa.Table) -> memoryview:
    """Rows as an Arrow stream.

    A memoryview, because clickhouse-connect would copy bytes once more, to append them to the
    statement.
    """
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return memoryview(sink.getvalue())


def _ask(sql: str, messages: pa.Table, columns: tuple[ColumnSpec, ...]) -> pa.Table:
    structure = ddl.messages_header(columns).structure
    sent = Statement(f"{sql}\n FORMAT ArrowStream", bytes(stream(messages)), structure)
    with translated():
        answer = client.admin().raw_query(sent.first, external_data=sent, settings=_OPTIONS)
    return pa.ipc.open_stream(answer).read_all()


def _lists(answer: pa.Table, *names: str) -> Iterator[tuple[Any, ...]]:
    return zip(*(_values(answer, name) for name in names), strict=True)


def _values(answer: pa.Table, name: str) -> list[Any]:
    if name == FILTERED and name not in answer.column_names:
        return [0] * answer.num_rows  # The version has no filters.
    # ClickHouse sends a String as Arrow's utf8, whatever its bytes are.
    column = answer[name].cast(pa.binary()) if name == "row" else answer[name]
    return list(column.to_pylist())


def _selected(messages: pa.Table, keys: set[tuple[str, int]]) -> pa.Table:
    """The messages whose batch token and offset are among ``keys``."""
    batches = (str(uuid.UUID(bytes=token)) for token in messages["_batch"].to_pylist())
    offsets = messages["_offset"].to_pylist()
    return messages.filter(pa.array([key in keys for key in zip(batches, offsets, strict=True)]))


def _inserts(to: Place, rows: Rows) -> Iterator[tuple[Target, str, ddl.Header, list[bytes]]]:
    if rows.misfits:
        yield Target.QUARANTINE, to.quarantine, ddl.quarantine_header(to.columns), rows.misfits
    if rows.filtered:
        yield Target.FILTERED, to.filtered, ddl.filtered_header(), rows.filtered
    if rows.good:
        yield Target.TABLE, to.table, ddl.table_header(to.columns, to.stored), rows.good
