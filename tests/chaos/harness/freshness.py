"""How old events are when they can be queried, seen from outside: neither Millrace's clock nor its
books are asked."""

from __future__ import annotations

import threading
import time
from collections import defaultdict

from tests.chaos.harness.grounds import Grounds
from tests.chaos.harness.senders import body


class Freshness(threading.Thread):
    """Looks every ``PAUSE`` seconds which numbers of a table's only part are there.

    ``body`` makes the messages, and notes when.
    """

    PAUSE = 0.1

    def __init__(self, grounds: Grounds, tables: list[str]) -> None:
        super().__init__(daemon=True)
        self._grounds, self._tables = grounds, tables
        self._ended = threading.Event()
        self._sent: dict[tuple[int, int], float] = {}
        self._seen: dict[int, list[tuple[float, int]]] = defaultdict(list)

    def body(self, part: int, seq: int) -> bytes:
        self._sent[part, seq] = time.monotonic()
        return body(part, seq)

    def run(self) -> None:
        asked = " UNION ALL ".join(
            f"SELECT part, max(seq) AS seq FROM {table} GROUP BY part" for table in self._tables
        )
        while not self._ended.wait(self.PAUSE):
            found = self._grounds.query(asked)
            now = time.monotonic()
            for row in found:
                self._seen[row["part"]].append((now, row["seq"]))

    def end(self) -> None:
        self._ended.set()
        self.join()

    def p95(self, since: float, until: float) -> float:
        """Seconds, of the events sent in that time; those never seen count as old as they are."""
        ages = sorted(
            self._seen_at(part, seq) - at
            for (part, seq), at in self._sent.items()
            if since <= at < until
        )
        return ages[int(0.95 * len(ages))]

    def _seen_at(self, part: int, seq: int) -> float:
        return next((at for at, reached in self._seen[part] if reached >= seq), time.monotonic())
