"""Commits positions to each source's consumer group, so that Kafka's own tools show the lag.

The position that counts is in Postgres, and nothing depends on what the broker knows. So commits
are rare: each group is committed once in a while, and the rest when its reader closes.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

log = logging.getLogger(__name__)

#: Seconds between two rounds, and how many groups one round commits, those waiting longest first.
ROUND, GROUPS = 1.0, 20
#: Seconds that the broker has to answer the last commits.
PATIENCE = 3.0
#: Errors that say nothing against the commit itself, so that it may succeed in a later round.
_LATER = {
    KafkaError._TIMED_OUT,  # noqa: SLF001
    KafkaError._TRANSPORT,  # noqa: SLF001
    KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
}

#: The positions of one group, by topic and partition.
_Positions = dict[tuple[str, int], int]


@dataclass(frozen=True, slots=True)
class _Sent:
    """A commit that the broker has not answered yet. ``is_last``: its reader has closed."""

    group: str
    positions: _Positions
    future: Future[Any]
    is_last: bool


class Commits:
    """Positions to commit, by group, topic and partition. Used by one thread."""

    def __init__(
        self, admin: Callable[[], AdminClient], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._admin, self._clock = admin, clock
        self._waiting: dict[str, _Positions] = defaultdict(dict)
        self._sent: list[_Sent] = []
        self._sent_at = clock()

    def note(self, group: str, topic: str, positions: Mapping[int, int]) -> None:
        """Note that all messages before ``positions`` are in the table."""
        self._waiting[group] |= {(topic, number): at for number, at in positions.items()}

    def send(self) -> None:
        """Commit the groups that have waited longest, if it is time for a round."""
        if (self._waiting or self._sent) and self._clock() - self._sent_at >= ROUND:
            self._sent_at = self._clock()
            self._collect()
            # A commit that failed is sent again, so a newer one must not overtake it.
            busy = {sent.group for sent in self._sent}
            for group in [group for group in self._waiting if group not in busy][:GROUPS]:
                self._commit(group, is_last=False)

    def flush(self, group: str) -> None:
        """Commit the group's waiting positions for the last time; doesn't wait for the broker."""
        # Another owner may commit from now on: nothing older must follow.
        self._sent = [
            replace(sent, is_last=True) if sent.group == group else sent for sent in self._sent
        ]
        if group in self._waiting:
            self._commit(group, is_last=True)

    def close(self) -> None:
        """Wait up to PATIENCE seconds for the broker's answers."""
        wait([sent.future for sent in self._sent], PATIENCE)
        self._collect()

    def _commit(self, group: str, *, is_last: bool) -> None:
        positions = self._waiting.pop(group)
        offsets = [TopicPartition(topic, number, at) for (topic, number), at in positions.items()]
        try:
            asked = self._admin().alter_consumer_group_offsets(
                [ConsumerGroupTopicPartitions(group, offsets)], request_timeout=PATIENCE
            )
        except KafkaException as error:
            failed: Future[Any] = Future()
            failed.set_exception(error)
            asked = {group: failed}
        self._sent += [_Sent(group, positions, future, is_last) for future in asked.values()]

    def _collect(self) -> None:
        """Take the broker's answers; what failed for now waits again, behind other groups."""
        answered = [sent for sent in self._sent if sent.future.done()]
        self._sent = [sent for sent in self._sent if not sent.future.done()]
        for sent in answered:
            error = sent.future.exception()
            if error is None:
                continue
            log.info("Committing to the group %s: %s", sent.group, error)
            if _is_for_now(error) and not sent.is_last:
                # What was noted since is newer.
                self._waiting[sent.group] = sent.positions | self._waiting[sent.group]


def _is_for_now(error: BaseException) -> bool:
    first = error.args[0] if isinstance(error, KafkaException) else None
    return isinstance(first, KafkaError) and first.code() in _LATER
