"""Types a sample as a table of the proposed columns would, and lands nothing."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import pyarrow as pa

from ingestion.batches.batch import Intent, Origin, PendingBatch
from ingestion.connectors.chunk import chunk
from ingestion.ddl.spec import ColumnSpec
from ingestion.landing import direct_insert, inbox
from ingestion.quarantine.typed import UnfitMessage, misfit


def misfits(messages: Sequence[bytes], columns: tuple[ColumnSpec, ...]) -> list[UnfitMessage]:
    """The messages that would go to quarantine, each with its reason; raises WarehouseError."""
    count, token = len(messages), uuid.uuid4()
    rows = chunk(0, range(count), [0] * count, messages).rows
    intent = Intent(Origin(0, 0), token, 0, count, count, rows.nbytes, 0)
    batch = PendingBatch(intent, pa.Table.from_batches([rows]))
    typed = direct_insert.type_all(inbox.table_of(batch), columns)
    return [misfit(token, row) for one in typed.values() for row in one.misfits]
