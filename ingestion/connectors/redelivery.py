"""Recognises delivered messages that are already in the table, for queues without offsets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol


class Identified(Protocol):
    """A message with the id by which it is recognised.

    ``given``: the sender set the id; otherwise it is a hash of the body, and equal bodies share it.
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
    """Messages that have landed and may be delivered again.

    ``unsettled`` counts, by id, the rows of batches whose acknowledgement the broker may not have
    received: that many deliveries of each id are skipped. An id that the sender set is enough. A
    hash is skipped only if the broker marks the message as redelivered, because an equal message
    may be a new one. ``landed`` looks ids up in the table, for messages that are redelivered
    although their batch was settled (a broker that lost acknowledgements in a crash). Only ids that
    senders set are looked up, not hashes.
    """

    unsettled: Counter[str] = field(default_factory=Counter)
    landed: Callable[[Collection[str]], set[str]] = _nothing

    def known(self, messages: Sequence[Identified]) -> list[bool]:
        """For each message, whether it is already in the table."""
        if not self.unsettled and not any(m.redelivered for m in messages):
            return [False] * len(messages)
        known = [self._take(m) for m in messages]
        doubtful = {
            m.message_id
            for m, is_known in zip(messages, known, strict=True)
            if m.redelivered and m.given and not is_known
        }
        landed = self.landed(doubtful) if doubtful else set()
        return [
            is_known or (m.redelivered and m.given and m.message_id in landed)
            for m, is_known in zip(messages, known, strict=True)
        ]

    def _take(self, message: Identified) -> bool:
        if not (message.given or message.redelivered) or not self.unsettled[message.message_id]:
            return False
        self.unsettled[message.message_id] -= 1
        return True
