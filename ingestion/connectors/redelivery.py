"""Which delivered messages are in the table already: for queues, which have no offsets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol


class Identified(Protocol):
    """A message as it is recognised.

    ``given``: the sender named the id; otherwise it is a hash, and equal bodies share it.
    """

    @property
    def message_id(self) -> str: ...

    @property
    def given(self) -> bool: ...

    @property
    def redelivered(self) -> bool: ...


def _nothing(_: Collection[str]) -> set[str]:
    return set()


@dataclass(slots=True)
class Redelivery:
    """What landed and may come again.

    ``unsettled`` counts, by id, the rows of batches whose acknowledgement the broker may not have
    seen: so many deliveries of each are passed over. An id that its sender gave is known by
    itself. A hash is passed over only when the broker says that it delivers again, since an equal
    message may be a new one. ``landed`` looks ids up in the table, for messages that are delivered
    again though their batch was settled (a broker that lost acknowledgements in a crash); ids that
    senders gave are looked up, hashes are not.
    """

    unsettled: Counter[str] = field(default_factory=Counter)
    landed: Callable[[Collection[str]], set[str]] = _nothing

    def known(self, messages: Sequence[Identified]) -> list[bool]:
        """Of each message whether it is in the table already."""
        if not self.unsettled and not any(m.redelivered for m in messages):
            return [False] * len(messages)
        known = [self._take(m) for m in messages]
        doubtful = {
            m.message_id
            for m, is_known in zip(messages, known, strict=True)
            if m.redelivered and m.given and not is_known
        }
        found = self.landed(doubtful) if doubtful else set()
        return [
            is_known or (m.redelivered and m.given and m.message_id in found)
            for m, is_known in zip(messages, known, strict=True)
        ]

    def _take(self, message: Identified) -> bool:
        if not (message.given or message.redelivered) or not self.unsettled[message.message_id]:
            return False
        self.unsettled[message.message_id] -= 1
        return True
