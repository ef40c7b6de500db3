"""Messages typed by a query, and their rows inserted past the views.

The query gives each row as the bytes that its table takes (RowBinary), so that nothing is decoded
here. Most messages are of the usual form, which a short SELECT types; a long one, which knows all
forms and why one does not fit, is asked for the others. The engine takes ten times as long to
analyse it, whether of one message or of a thousand. So it is asked for those columns alone that
have not had their usual form before, and again where there are more of them.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import pyarrow as pa
from clickhouse_connect.driver.external import ExternalData

from ingestion.ddl import rows as ddl
from ingestion.ddl.spec import INSERT_SETTINGS, STATEMENT_SETTINGS, ColumnSpec
from ingestion.landing.query_ids import Target, query_id
from tenants.warehouse import client
from tenants.warehouse.errors import translated

_MESSAGES = "_messages"
#: How much of a statement goes into one field of a form: half of what a server takes.
_FIELD_BYTES = 64 * 1024
_TYPED = ("batch", "offset", "fits", "row", "fitting")
#: A row whose column has another type by now is refused, and not read as something else.
_STRICT = {"input_format_with_types_use_header": 1, "input_format_with_names_use_header": 1}
#: What few rows would take longer to be spread over threads for: a tenth of such an insert.
_ONE_THREAD = {"max_threads": 1, "input_format_parallel_parsing": 0}
#: Values are read as an insert reads them.
_OPTIONS = {
    **{name: value for name, value in INSERT_SETTINGS.items() if name.startswith("input_format_")},
    # No table to read less of: it takes a third of a query of 50 messages. One of 3,000 it makes
    # four times as long, as it merges the steps, and what they share is computed for each use.
    "query_plan_enable_optimizations": 0,
    **STATEMENT_SETTINGS,
}


@dataclass(slots=True)
class Rows:
    """Of one batch: rows for the table and for the quarantine, as RowBinary."""

    good: list[bytes] = field(default_factory=list)
    misfits: list[bytes] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Place:
    """Where rows go: a table and its quarantine, quoted for SQL, and the table's columns.

    ``stored``: the types that the table has of the columns, where it has others by now.
    """

    table: str
    quarantine: str
    columns: tuple[ColumnSpec, ...]
    stored: tuple[str, ...] = ()


def type_all(
    messages: pa.Table, columns: tuple[ColumnSpec, ...], stored: tuple[str, ...] = ()
) -> dict[str, Rows]:
    """The rows of each batch, by its token; raises WarehouseError.

    ``messages`` has the columns of an inbox, and may be of several batches of like tables.
    ``stored`` is as in ``Place``.
    """
    found: dict[str, Rows] = defaultdict(Rows)
    others = set()
    quick = _ask(ddl.quick_rows(columns, _MESSAGES, stored), messages)
    for batch, offset, row in _lists(quick, "batch", "offset", "row"):
        if row:
            found[batch].good.append(row)
        else:
            others.add((batch, offset))
    if others:
        type_rest(_of(messages, others), columns, found, stored)
    return found


def type_rest(
    messages: pa.Table,
    columns: tuple[ColumnSpec, ...],
    found: dict[str, Rows] | None = None,
    stored: tuple[str, ...] = (),
) -> dict[str, Rows]:
    """Type messages that are not of the usual form; adds to what was found, if anything was."""
    found = defaultdict(Rows) if found is None else found
    suspected = suspects(columns)
    sure: list[tuple[int, str, bool, bytes]] = []
    while messages.num_rows:
        answer = _ask(ddl.typed_rows(columns, _MESSAGES, frozenset(suspected), stored), messages)
        unsure = set()
        for batch, offset, fits, row, fitting in _lists(answer, *_TYPED):
            if fitting:
                unsure.add((batch, offset))
                suspected.update(index for index, one in enumerate(fitting) if not one)
            else:
                sure.append((offset, batch, fits, row))
        messages = _of(messages, unsure) if unsure else messages.slice(0, 0)
    # Which were sure at once depends on what a process has met: after a crash another repeats the
    # insert, and what stands under one token must be the same block.
    for _, batch, fits, row in sorted(sure):
        rows = found[batch]
        (rows.good if fits else rows.misfits).append(row)
    return found


@lru_cache(maxsize=1_000)
def suspects(columns: tuple[ColumnSpec, ...]) -> set[int]:
    """Indices of the columns that had another form than their usual one, as long as this process
    lives; shared by its threads, and by all tables of these columns.
    """
    return set()


def land(to: Place, rows: Rows, batch: uuid.UUID, token: uuid.UUID | None = None) -> None:
    """Insert rows of a batch into table and quarantine under one token, by default the batch's.

    Raises WarehouseError.
    """
    once = {"insert_deduplication_token": str(token or batch)}
    options = INSERT_SETTINGS | _STRICT | _ONE_THREAD | once
    for target, place, header, body in _inserts(to, rows):
        with translated():
            client.admin().raw_insert(
                place,
                column_names=header.names,
                insert_block=b"".join([header.bytes, *body]),
                settings=options | {"query_id": query_id(batch, target)},
                fmt="RowBinaryWithNamesAndTypes",
            )


def stream(rows: pa.Table) -> memoryview:
    """Rows as an Arrow stream.

    A view, and not bytes: clickhouse-connect would copy those once more behind the statement.
    """
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return memoryview(sink.getvalue())


def _ask(sql: str, messages: pa.Table) -> pa.Table:
    first, _, rest = sql.partition(" ")
    sent = _Statement(f" {rest}\n FORMAT ArrowStream", bytes(stream(messages)))
    with translated():
        answer = client.admin().raw_query(first, external_data=sent, settings=_OPTIONS)
    return pa.ipc.open_stream(answer).read_all()


class _Statement(ExternalData):
    """Messages that come along with a statement, and all of the statement but its first word.

    clickhouse-connect puts the statement into the address where a table comes along. That of 400
    columns has 370 kB there, and a server takes 128 KiB of a field, in an address and in a form
    (``http_max_field_value_size``), and a proxy often 8 KiB of an address. But a server joins
    all fields named ``query``, those of the address first (``DynamicQueryHandler::getQuery``). The
    first word is in the address, by which clickhouse-connect sees that it may send it once more.
    """

    def __init__(self, statement: str, messages: bytes) -> None:
        super().__init__(
            data=messages, file_name=_MESSAGES, fmt="ArrowStream", structure=ddl.MESSAGES
        )
        self._statement = statement.encode()

    @property
    def form_data(self) -> dict[str, Any]:
        starts = range(0, len(self._statement), _FIELD_BYTES)
        parts = (self._statement[start : start + _FIELD_BYTES] for start in starts)
        return {**{_Field("query"): part for part in parts}, **super().form_data}


class _Field(str):
    """A field's name that a form, which clickhouse-connect holds in a dict, has several times."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


def _lists(answer: pa.Table, *names: str) -> Iterator[tuple[Any, ...]]:
    # ClickHouse's strings are texts to Arrow, whatever their bytes are.
    columns = (answer[name].cast(pa.binary()) if name == "row" else answer[name] for name in names)
    return zip(*(one.to_pylist() for one in columns), strict=True)


def _of(messages: pa.Table, wanted: set[tuple[str, int]]) -> pa.Table:
    batches = (str(uuid.UUID(bytes=one)) for one in messages["_batch"].to_pylist())
    offsets = messages["_offset"].to_pylist()
    return messages.filter(pa.array([one in wanted for one in zip(batches, offsets, strict=True)]))


def _inserts(to: Place, rows: Rows) -> Iterator[tuple[Target, str, ddl.Header, list[bytes]]]:
    if rows.misfits:
        yield Target.QUARANTINE, to.quarantine, ddl.quarantine_header(), rows.misfits
    if rows.good:
        yield Target.TABLE, to.table, ddl.table_header(to.columns, to.stored), rows.good
