"""Small batches of like tables are typed by one query, and then inserted each into its own table.

An insert through the views costs ClickHouse their analysis, whether of one row or of a thousand. So
where many tenants have a few rows each, and tables of the same columns, the typing SELECT is asked
once for all of them, and an insert without views costs a fraction. Both inserts of a batch, into
table and quarantine, carry its token.
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
    """A batch, and where it belongs. All that are typed together have the same columns."""

    to: Address
    batch: PendingBatch


def insert(members: Sequence[AddressedBatch]) -> list[int | WarehouseError]:
    """Insert each batch; returns of each how many of its rows did not fit, or what went wrong.

    Raises WarehouseError where they could not even be typed. Of whatever failed nobody knows
    whether it landed; it is repeated under the same token.
    """
    messages = pa.concat_tables([inbox.table_of(one.batch) for one in members])
    to = members[0].to
    found = direct_insert.type_all(messages, to.columns, to.stored)
    # The smallest first: a tenant of few rows does not wait for one of many.
    landed = {
        token(one): _landed(one, found[token(one)])
        for one in sorted(members, key=lambda one: one.batch.intent.rows)
    }
    return [landed[token(one)] for one in members]


def insert_one(member: AddressedBatch) -> int:
    """Insert one batch, as it was before a crash; raises WarehouseError."""
    (done,) = insert([member])
    if isinstance(done, WarehouseError):
        raise done
    return done


def _landed(member: AddressedBatch, rows: Rows) -> int | WarehouseError:
    try:
        direct_insert.land(member.to.place, rows, member.batch.intent.token)
    except WarehouseError as error:
        return error
    return len(rows.misfits)


def token(member: AddressedBatch) -> str:
    """By which the engine knows the batch again."""
    return str(member.batch.intent.token)
