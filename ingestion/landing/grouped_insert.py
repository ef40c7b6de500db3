"""Types small batches of like tables with one query, and inserts each into its own table.

An insert through the views costs ClickHouse their analysis, for one row as for a thousand. Many
tenants may have a few rows each, and tables with the same columns. One typing SELECT then serves
all of them, and an insert without views costs a fraction. All inserts of a batch, into
table, quarantine and the table of filtered messages, carry its token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from ingestion.batches.batch import PendingBatch
from ingestion.landing import direct_insert, inbox
from ingestion.landing.addresses import Address
from ingestion.landing.direct_insert import Rows
from tenants.warehouse.errors import WarehouseError


@dataclass(frozen=True, slots=True)
class AddressedBatch:
    """A batch with the address of its table. Batches typed together have the same form."""

    to: Address
    batch: PendingBatch


def insert(batches: Sequence[AddressedBatch]) -> list[int | WarehouseError]:
    """Insert each batch; returns for each the number of rows that did not fit, or its error.

    Raises WarehouseError if the batches could not even be typed. A batch that failed may have
    landed or not; it is repeated under the same token.
    """
    messages = pa.concat_tables([inbox.table_of(addressed.batch) for addressed in batches])
    to = batches[0].to
    typed = direct_insert.type_all(messages, to.columns, to.stored, to.filters)
    # The smallest first, so that a tenant with few rows doesn't wait for one with many.
    outcomes = {
        token(addressed): _landed(addressed, typed[token(addressed)])
        for addressed in sorted(batches, key=lambda addressed: addressed.batch.intent.rows)
    }
    return [outcomes[token(addressed)] for addressed in batches]


def insert_one(addressed: AddressedBatch) -> int:
    """Repeat the insert of one batch; returns how many rows did not fit. Raises WarehouseError."""
    (outcome,) = insert([addressed])
    if isinstance(outcome, WarehouseError):
        raise outcome
    return outcome


def _landed(addressed: AddressedBatch, rows: Rows) -> int | WarehouseError:
    try:
        intent = addressed.batch.intent
        fence = addressed.to.fence_of(intent)
        direct_insert.land(addressed.to.place, rows, intent.token, fence=fence)
    except WarehouseError as error:
        return error
    return len(rows.misfits)


def token(addressed: AddressedBatch) -> str:
    """The batch's token, as the typing query returns it."""
    return str(addressed.batch.intent.token)
