"""The fence of a queue's batch: keeps out its inserts once its messages belong to another worker.

A queue delivers what was not acknowledged to another worker, which puts it into a batch with a
token of its own. An insert of the first batch may arrive after that, held up in the network, and
ClickHouse would not recognise it as a repetition. So recovery raises the fence of a batch before it
asks what has landed. An insert looks at its fence after ClickHouse has listed it among the running
queries. So it sees the fence, or recovery sees the insert (``await_inserts``).

The fence is a mark among the table's leftovers, which are kept for LEFTOVER_DAYS. Streams with
offsets need none: whoever repeats a range of them inserts it under the same token.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from ingestion.ddl.rows import Header
from ingestion.landing.external_data import SENT, Statement
from tenants.warehouse import client
from tenants.warehouse.errors import StatementFailed, WarehouseError, translated
from tenants.warehouse.quoting import string

#: The offset of the mark; no message has it.
_MARK = -1
_REASON = "The queue has delivered the messages of this batch to another worker."
#: FUNCTION_THROW_IF_VALUE_IS_NON_ZERO
_THROWN = 395


class Fenced(WarehouseError):
    """The insert came after recovery had given its batch up; none of its rows is stored."""


@dataclass(frozen=True, slots=True)
class Fence:
    """The fence of one batch. ``leftovers``: the table's, on all replicas, quoted for SQL."""

    leftovers: str
    batch: uuid.UUID

    def insert(
        self, table: str, header: Header, body: bytes, fmt: str, options: Mapping[str, object]
    ) -> None:
        """Insert rows into ``table`` unless the fence is up.

        ``body`` is in ``fmt``, with the columns of ``header``. Raises Fenced, WarehouseError.
        """
        names = ", ".join(header.names)
        mark = (
            f"(SELECT count() FROM {self.leftovers} "  # noqa: S608 - names of ours
            f"WHERE _batch = {string(str(self.batch))} AND _offset = {_MARK})"
        )
        sql = (
            f"INSERT INTO {table} ({names}) SELECT {names} FROM {SENT} "  # noqa: S608
            f"WHERE NOT throwIf({mark} > 0, {string(_REASON)})"
        )
        sent = Statement(sql, body, header.structure, fmt)
        try:
            with translated():
                client.admin().raw_query(sent.first, external_data=sent, settings=dict(options))
        except StatementFailed as error:
            if error.code == _THROWN and _REASON in error.message:
                raise Fenced(_REASON) from error
            raise


def put_up(leftovers: str, batch: uuid.UUID) -> None:
    """Keep out each insert of the batch that has not begun in ClickHouse. Safe to repeat.

    ``leftovers`` is the table on the server that answers. ``await_inserts`` then waits for the
    inserts that have begun. Raises WarehouseError.
    """
    row = f"({string(str(batch))}, {_MARK})"
    client.execute([f"INSERT INTO {leftovers} (_batch, _offset) VALUES {row}"])  # noqa: S608
