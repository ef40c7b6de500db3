"""Tries rows out before they are inserted: types them as an insert would, and lands none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
from clickhouse_connect.driver.external import ExternalData

from ingestion.batches.batch import PendingBatch
from ingestion.ddl.rows import misfit_types
from ingestion.ddl.spec import ColumnSpec
from ingestion.landing import direct_insert, inbox
from tenants.warehouse import client
from tenants.warehouse.errors import translated
from tenants.warehouse.quoting import identifier

_REASONS = (
    "SELECT reason, `column`, count() AS rows FROM _misfits GROUP BY ALL "
    "ORDER BY reason, `column` FORMAT ArrowStream"
)


@dataclass(frozen=True, slots=True)
class Trial:
    """The outcome. ``reasons``: the number of misfits for each reason with its column."""

    rows: int
    reasons: Mapping[str, int]


def try_out(batch: PendingBatch, columns: tuple[ColumnSpec, ...]) -> Trial:
    """Count the rows that would not fit, by reason; raises WarehouseError."""
    messages = inbox.table_of(batch)
    typed = direct_insert.type_all(messages, columns)
    misfits = [row for rows in typed.values() for row in rows.misfits]
    return Trial(messages.num_rows, _reasons(misfits, columns) if misfits else {})


def _reasons(misfits: list[bytes], columns: tuple[ColumnSpec, ...]) -> dict[str, int]:
    types = misfit_types(columns)
    structure = ", ".join(f"{identifier(name)} {kind}" for name, kind in types.items())
    sent = ExternalData(
        data=b"".join(misfits), file_name="_misfits", fmt="RowBinary", structure=structure
    )
    with translated():
        answer = client.admin().raw_query(_REASONS, external_data=sent)
    return {
        f"{row['reason']} in {row['column']}" if row["column"] else str(row["reason"]): row["rows"]
        for row in pa.ipc.open_stream(answer).read_all().to_pylist()
    }
