"""Reading with caution: a piece at a time, one partition at a time, each message told beforehand.

What ``poison`` found about a partition that owners died of, as its buffer goes by it.
"""

from __future__ import annotations

import threading
import weakref
from typing import Protocol

from ingestion.connectors.chunk import Chunk
from ingestion.models import Caution

#: So many owners die of a batch, or of one message alone, before it counts as their reason.
CRASHES = 3


class Tried(Protocol):
    """A lane, as far as this module knows it."""

    @property
    def under_way(self) -> object: ...


_guard = threading.Lock()
_last: weakref.ref[Tried] = weakref.ref(type("Nothing", (), {"under_way": None})())


def may_try(lane: Tried) -> bool:
    """Whether no other lane of this process that is read with caution has a batch under way.

    What dies of one takes the others along, and they would be blamed for it.
    """
    global _last  # noqa: PLW0603 - a process is what dies
    with _guard:
        last = _last()
        if last is None or last is lane or last.under_way is None:
            _last = weakref.ref(lane)
            return True
        return False


def piece(waiting: list[Chunk], rows: int) -> Chunk:
    """Take a chunk of at most ``rows`` messages from the front."""
    first = waiting.pop(0)
    if first.rows.num_rows > rows:
        first, rest = first.split(rows)
        waiting.insert(0, rest)
    return first


def is_condemned(caution: Caution, chunk: Chunk) -> bool:
    """Whether the chunk is the one message that owners died of.

    Of a message alone it is noted first that it is about to be tried: that must be durable before
    its insert begins.
    """
    if chunk.rows.num_rows > 1:
        return False
    name = chunk.rows["_message_id"][0].as_py() or str(chunk.rows["_offset"][0].as_py())
    if name != caution.suspect:
        caution.suspect, caution.crashes = name, 0
        caution.save(update_fields=["suspect", "crashes"])
    return caution.crashes >= CRASHES
