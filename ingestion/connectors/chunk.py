"""Messages as they travel from a reader to the inbox: column by column, never one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from ingestion.ddl.metadata import METADATA

#: The columns of a chunk, by the names that they have in the inbox.
SCHEMA = pa.schema(
    [
        ("_offset", pa.int64()),
        ("_timestamp", pa.timestamp("ms", tz="UTC")),
        ("_message_id", pa.string()),
        ("_key", pa.binary()),
        ("raw", pa.binary()),
    ]
)
#: The same, for a table with columns of metadata.
SCHEMA_WITH_METADATA = SCHEMA.append(pa.field(METADATA, pa.binary()))


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive messages of one partition.

    ``to_offset`` is where reading continues: after the last message, and after offsets that hold
    no message (transaction markers, compaction). ``newest`` is the latest timestamp, in ms since
    1970. ``deduplicated`` is the number of deliveries before it that were skipped because the table
    has them. ``unidentified`` counts messages of a queue whose sender set no id.
    """

    number: int
    to_offset: int
    newest: int
    rows: pa.RecordBatch
    #: Size of the rows in memory.
    bytes: int
    deduplicated: int = 0
    unidentified: int = 0

    def split(self, rows: int) -> tuple[Chunk, Chunk]:
        """The first ``rows`` messages, and the others; there must be more than ``rows``."""
        first, rest = self.rows.slice(0, rows), self.rows.slice(rows)
        begins = rest["_offset"][0].as_py()
        # Which messages they were is not known; the two parts together keep the number.
        of_first = min(self.unidentified, rows)
        of_rest = self.unidentified - of_first
        return (
            replace(self, to_offset=begins, rows=first, bytes=first.nbytes, unidentified=of_first),
            replace(self, rows=rest, bytes=rest.nbytes, deduplicated=0, unidentified=of_rest),
        )


def chunk(
    number: int,
    offsets: Sequence[int],
    timestamps: Sequence[int],
    raw: Sequence[bytes | None],
    *,
    keys: Sequence[bytes | None] | None = None,
    ids: Sequence[str] | None = None,
    metadata: Sequence[bytes] | None = None,
) -> Chunk:
    """A chunk of at least one message. A message without a value (None) becomes an empty one.

    ``metadata``: the JSON of each message's metadata; None if no column of the table reads any.
    """
    columns = [
        pa.array(offsets, pa.int64()),
        pa.array(timestamps, SCHEMA.field("_timestamp").type),
        _constant("", pa.string(), len(offsets)) if ids is None else pa.array(ids, pa.string()),
        _constant(b"", pa.binary(), len(offsets)) if keys is None else _filled(keys),
        _filled(raw),
    ]
    if metadata is not None:
        columns.append(pa.array(metadata, pa.binary()))
    rows = pa.record_batch(columns, schema=schema(has_metadata=metadata is not None))
    # A few bytes more than nbytes, as these rows share no buffer with others, and much faster.
    return Chunk(number, offsets[-1] + 1, max(timestamps), rows, rows.get_total_buffer_size())


def schema(*, has_metadata: bool) -> pa.Schema:
    """The schema of chunks for a table with columns of metadata, or without."""
    return SCHEMA_WITH_METADATA if has_metadata else SCHEMA


def hole(number: int, to_offset: int, *, has_metadata: bool = False) -> Chunk:
    """A chunk without messages, for offsets before ``to_offset`` that hold none."""
    rows = pa.RecordBatch.from_pylist([], schema(has_metadata=has_metadata))
    return Chunk(number, to_offset, 0, rows, bytes=0)


def _filled(values: Sequence[bytes | None]) -> Any:
    array = pa.array(values, pa.binary())
    if array.null_count == len(array):
        return _constant(b"", pa.binary(), len(array))
    return array.fill_null(b"") if array.null_count else array


def _constant(value: Any, kind: pa.DataType, length: int) -> Any:
    return pa.repeat(pa.scalar(value, kind), length)
