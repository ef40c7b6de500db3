"""Typed rows as bytes: the SELECT that returns them, and the header that precedes them.

The format is RowBinaryWithNamesAndTypes
(clickhouse.com/docs/interfaces/formats/RowBinaryWithNamesAndTypes).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from ingestion.ddl import metadata, parse_view, quick_view, source_filters
from ingestion.ddl.column import ParsedColumn
from ingestion.ddl.create import ORIGIN_TYPES, PROBLEM_TYPES
from ingestion.ddl.spec import ColumnSpec, SourceFilter, TableSpec
from ingestion.ddl.types import canonical, parse
from tenants.warehouse.quoting import identifier, string

#: The statements of so many tables are kept; for 1,000 columns a statement has some MB.
_KEPT = 32
_ORIGIN_ROW = f"formatRow('RowBinary', {', '.join(ORIGIN_TYPES)})"


@dataclass(frozen=True, slots=True)
class Header:
    """``names``: the columns, quoted for SQL; ``types``: theirs; ``bytes``: the header itself."""

    names: list[str]
    types: list[str]
    bytes: bytes

    @property
    def structure(self) -> str:
        """The columns as ClickHouse takes them with a table that is sent with a statement."""
        return ", ".join(
            f"{name} {kind}" for name, kind in zip(self.names, self.types, strict=True)
        )


@lru_cache(maxsize=1_000)
def messages_header(columns: tuple[ColumnSpec, ...]) -> Header:
    """The header of messages as an inbox of these columns takes them."""
    types = ORIGIN_TYPES | metadata.carried(columns)
    return _header(list(types), list(types.values()))


def misfit_types(columns: tuple[ColumnSpec, ...]) -> dict[str, str]:
    """The columns of a row for the quarantine, in their order, with their types."""
    return ORIGIN_TYPES | metadata.carried(columns) | PROBLEM_TYPES


@lru_cache(maxsize=_KEPT)
def quick_rows(
    columns: tuple[ColumnSpec, ...],
    source: str,
    stored: tuple[str, ...] = (),
    filtered_by: tuple[SourceFilter, ...] = (),
) -> str:
    """Selects ``batch`` (a UUID), ``offset`` and ``row`` (RowBinary) of each message in ``source``.

    ``row`` is empty if the message does not have the usual form: then ``typed_rows`` types it.
    ``stored`` has the types of the table's columns if they have changed since; values are first
    typed by ``columns``, then widened. With ``filtered_by`` it also selects
    ``source_filters.FILTERED``; ``row`` is for the table of filtered messages if that is 1.
    """
    spec = TableSpec("", "", columns, filters=filtered_by)
    row = _row(quick_view.columns(spec), stored)
    if filtered_by:
        row = f"if({source_filters.FILTERED}, {_ORIGIN_ROW}, {row})"
    filtered = f", {source_filters.FILTERED}" if filtered_by else ""
    return (
        f"SELECT toString(_batch) AS batch, _offset AS offset, if({quick_view.QUICK}, {row}, '') "
        f"AS row{filtered} FROM ({quick_view.select(spec, source)})"
    )


@lru_cache(maxsize=_KEPT)
def typed_rows(
    columns: tuple[ColumnSpec, ...],
    source: str,
    suspects: frozenset[int],
    stored: tuple[str, ...] = (),
    filtered_by: tuple[SourceFilter, ...] = (),
) -> str:
    """Selects ``batch`` (a UUID), ``offset``, ``fits``, ``row`` and ``fitting`` of each message.

    ``fits``: 0 or 1; ``row``: for the table or for the quarantine, as RowBinary. Only the columns
    in ``suspects`` (by index) are checked for all forms. If another column does not have its usual
    form, ``row`` is meaningless and ``fitting`` says of each column whether it fits; otherwise
    ``fitting`` is empty. ``stored`` and ``filtered_by`` are as for ``quick_rows``.
    """
    spec = TableSpec("", "", columns)
    parsed = [
        long if long.index in suspects else quick
        for long, quick in zip(parse_view.columns(spec), quick_view.columns(spec), strict=True)
    ]
    kept = [*ORIGIN_TYPES, *parse_view.carried(parsed)]
    misfit = ", ".join([*kept, *(f"_{name}" for name in PROBLEM_TYPES)])
    row = f"if(fits, {_row(parsed, stored)}, formatRow('RowBinary', {misfit}))"
    if filtered_by:
        row = f"if({source_filters.FILTERED}, {_ORIGIN_ROW}, {row})"
    filtered = f", {source_filters.FILTERED}" if filtered_by else ""
    return (
        "SELECT toString(_batch) AS batch, _offset AS offset, _reason = '' AS fits, "
        f"{row} AS row, _fitting AS fitting{filtered} "
        f"FROM ({parse_view.select(parsed, source, filtered_by)})"
    )


def _row(parsed: Sequence[ParsedColumn], stored: Sequence[str]) -> str:
    types = stored or [one.type for one in parsed]
    values = (
        f"CAST(_v{one.index}, {string(kind)})" for one, kind in zip(parsed, types, strict=True)
    )
    return f"formatRow('RowBinary', {', '.join([*ORIGIN_TYPES, *values])})"


@lru_cache(maxsize=1_000)
def table_header(columns: tuple[ColumnSpec, ...], stored: tuple[str, ...] = ()) -> Header:
    """The header of rows for a table of these columns; ``stored`` is as for ``quick_rows``."""
    types = stored or tuple(one.type for one in columns)
    return _header(
        [*ORIGIN_TYPES, *(one.name for one in columns)],
        [*ORIGIN_TYPES.values(), *(str(canonical(parse(one))) for one in types)],
    )


@lru_cache(maxsize=1_000)
def replayed_header(columns: tuple[ColumnSpec, ...], stored: tuple[str, ...] = ()) -> Header:
    """The header of ``table_header``'s rows that end with the time when they first came in."""
    types = stored or tuple(one.type for one in columns)
    return _header(
        [*ORIGIN_TYPES, *(one.name for one in columns), "_ingested_at"],
        [
            *ORIGIN_TYPES.values(),
            *(str(canonical(parse(one))) for one in types),
            "DateTime64(3, 'UTC')",
        ],
    )


@lru_cache(maxsize=1)
def filtered_header() -> Header:
    """The header of rows for the table of filtered messages."""
    return _header(list(ORIGIN_TYPES), list(ORIGIN_TYPES.values()))


@lru_cache(maxsize=1)
def replayed_filtered_header() -> Header:
    """The header of ``filtered_header``'s rows that end with the time when they first came in."""
    types = {**ORIGIN_TYPES, "_ingested_at": "DateTime64(3, 'UTC')"}
    return _header(list(types), list(types.values()))


@lru_cache(maxsize=1_000)
def quarantine_header(columns: tuple[ColumnSpec, ...]) -> Header:
    """The header of rows for the quarantine of a table of these columns."""
    types = misfit_types(columns)
    return _header(list(types), list(types.values()))


def _header(names: Sequence[str], types: Sequence[str]) -> Header:
    parts = [_length(len(names)), *(_string(one) for one in (*names, *types))]
    return Header([identifier(one) for one in names], list(types), b"".join(parts))


def _string(value: str) -> bytes:
    encoded = value.encode()
    return _length(len(encoded)) + encoded


def _length(value: int) -> bytes:
    """A length as LEB128."""
    made = bytearray()
    while value >= 0x80:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])
