"""Reading with caution: how a buffer tries the messages of a partition whose owners died.

It tries a small piece at a time, one partition of a process at a time, and notes a single message
before it tries it. ``poison`` decides which partitions are read like this.
"""

from __future__ import annotations

import threading
import weakref
from typing import Protocol

from ingestion.connectors.chunk import Chunk
from ingestion.models import Caution

#: How many owners must die with a batch, or a single message, before it counts as the cause.
CRASHES = 3


class CautiousBuffer(Protocol):
    """The part of a PartitionBuffer that this module needs; importing it would be a circle."""

    @property
    def under_way(self) -> object: ...


_guard = threading.Lock()
_last: weakref.ref[CautiousBuffer] = weakref.ref(type("Nothing", (), {"under_way": None})())


def may_try(buffer: CautiousBuffer) -> bool:
    """Whether no other buffer of this process that is read with caution has a batch under way.

    A message that kills the process ends the other buffers' batches too, and they would be blamed.
    """
    global _last  # noqa: PLW0603 - one for the process, since a message kills all of it
    with _guard:
        last = _last()
        if last is None or last is buffer or last.under_way is None:
            _last = weakref.ref(buffer)
            return True
        return False


def piece(waiting: list[Chunk], rows: int) -> Chunk:
    """Take a chunk of at most ``rows`` messages from the front of ``waiting``."""
    first = waiting.pop(0)
    if first.rows.num_rows > rows:
        first, rest = first.split(rows)
        waiting.insert(0, rest)
    return first


def is_condemned(caution: Caution, chunk: Chunk) -> bool:
    """Whether the chunk is a single message that CRASHES owners died of.

    Stores a single message as the suspect first: that must be durable before its insert begins, so
    that a crash is attributed to it.
    """
    if chunk.rows.num_rows > 1:
        return False
    name = chunk.rows["_message_id"][0].as_py() or str(chunk.rows["_offset"][0].as_py())
    if name != caution.suspect:
        caution.suspect, caution.crashes = name, 0
        caution.save(update_fields=["suspect", "crashes"])
    return caution.crashes >= CRASHES
