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
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

log = logging.getLogger(__name__)

#: Seconds between two rounds, and how many groups one round commits, those waiting longest first.
ROUND, GROUPS = 1.0, 20
#: Seconds that the broker has to answer the last commits.
PATIENCE = 3.0


class Commits:
    """Positions to commit, by group, topic and partition. Used by one thread."""

    def __init__(
        self, admin: Callable[[], AdminClient], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._admin, self._clock = admin, clock
        self._waiting: dict[str, dict[tuple[str, int], int]] = defaultdict(dict)
        self._told: list[tuple[str, Future[Any]]] = []
        self._told_at = clock()

    def note(self, group: str, topic: str, positions: Mapping[int, int]) -> None:
        """Note that all messages before ``positions`` are in the table."""
        self._waiting[group] |= {(topic, number): at for number, at in positions.items()}

    def tell(self) -> None:
        """Commit the groups that have waited longest, if it is time for a round."""
        if self._waiting and self._clock() - self._told_at >= ROUND:
            self._told_at = self._clock()
            self._told = [one for one in self._told if not _is_over(*one)]
            for group in list(self._waiting)[:GROUPS]:
                self._commit(group)

    def flush(self, group: str) -> None:
        """Commit the group's waiting positions, without waiting for the broker."""
        if group in self._waiting:
            self._commit(group)

    def close(self) -> None:
        """Wait up to PATIENCE seconds for the broker's answers."""
        wait([future for _, future in self._told], PATIENCE)
        self._told = [one for one in self._told if not _is_over(*one)]

    def _commit(self, group: str) -> None:
        found = self._waiting.pop(group)
        offsets = [TopicPartition(topic, number, at) for (topic, number), at in found.items()]
        try:
            asked = self._admin().alter_consumer_group_offsets(
                [ConsumerGroupTopicPartitions(group, offsets)], request_timeout=PATIENCE
            )
        except KafkaException as error:
            log.info("Committing to the group %s: %s", group, error)
        else:
            self._told += asked.items()


def _is_over(group: str, future: Future[Any]) -> bool:
    if not future.done():
        return False
    if (error := future.exception()) is not None:
        log.info("Committing to the group %s: %s", group, error)
    return True
