"""A kombu consumer that only acknowledges: ``python -m bench.rivals.kombu_acks URL QUEUE N``."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from kombu import Connection, Consumer, Queue

PREFETCH, EVERY = 2_000, 500


class Acknowledger:
    def __init__(self, count: int) -> None:
        self.count, self.taken, self.started = count, 0, 0.0

    def take(self, message: Any) -> None:
        self.started = self.started or time.perf_counter()
        self.taken += 1
        if self.taken % EVERY == 0 or self.taken == self.count:
            message.ack(multiple=True)


def main(url: str, queue: str, count: str) -> None:
    acknowledger = Acknowledger(int(count))
    with Connection(url) as connection, connection.channel() as channel:
        consumer = Consumer(
            channel,
            [Queue(queue, no_declare=True)],
            # With on_message, kombu does not decode the bodies.
            on_message=acknowledger.take,
            prefetch_count=PREFETCH,
        )
        with consumer:
            while acknowledger.taken < acknowledger.count:
                connection.drain_events()
        seconds = time.perf_counter() - acknowledger.started
    print(json.dumps({"seconds": seconds, "cpu_seconds": time.process_time()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
