"""One named case: senders of its own, a fault between, and the oracle's verdict after it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tests.chaos.harness import oracle
from tests.chaos.harness.grounds import DATABASE, KAFKA_PARTITIONS, PATIENCE, QUEUES, Grounds
from tests.chaos.harness.oracle import Verdict
from tests.chaos.harness.senders import Body, RabbitSender, Sender, body
from tests.chaos.harness.storm import Watch

#: Parts that one case has to itself: a table then serves them all.
PARTS = 100
#: Partitions of the topic of that name.
WIDE = 64
_bases = itertools.count(PARTS, PARTS)


@dataclass
class Case:
    """``struck`` says that a fault is over: the stall counts from then."""

    grounds: Grounds
    name: str
    senders: Sequence[Sender]
    watch: Watch
    ended_at: list[float] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)

    @property
    def tables(self) -> list[str]:
        return [one.stream for one in self.senders]

    def struck(self) -> None:
        self.ended_at.append(time.monotonic())

    def landed(self, sender: Sender) -> int:
        """Rows of its parts in the table and the quarantine."""
        return oracle.landed_of(self.grounds.query, DATABASE, sender)

    def goes_on(self, more: int = 1) -> None:
        """Wait until each stream has so many rows more than now."""
        for one, rows in [(one, self.landed(one)) for one in self.senders]:
            self.grounds.await_(
                lambda one=one, rows=rows: self.landed(one) >= rows + more,
                f"{self.name}: {one.stream} did not go on",
            )

    @property
    def stall(self) -> float:
        return max((self.watch.stall(at) for at in self.ended_at), default=0.0)

    def __str__(self) -> str:
        sent = sum(one.sent for one in self.verdicts)
        lost, doubled = (
            sum(getattr(one, name) for one in self.verdicts) for name in ("lost", "doubled")
        )
        examples = "; ".join(text for one in self.verdicts for text in one.examples)
        return (
            f"\n  {self.name:44} sent {sent:9,}  lost {lost}  doubled {doubled}  "
            f"stall {self.stall:5.1f} s  {examples}"
        )


@contextmanager
def case(
    grounds: Grounds,
    name: str,
    *streams: str,
    rate: float = 1.0,
    body: Body = body,
    patience: float = PATIENCE,
    is_good: bool = True,
) -> Iterator[Case]:
    """Send to the streams meanwhile; then every message must be there once.

    After ``patience`` seconds without any new row the rest counts as lost. ``is_good`` is what the
    verdicts must be: false where the workers are broken on purpose.
    """
    base = next(_bases)
    senders = [
        _sender(grounds, stream, rate, base, body)
        for stream in streams
        if stream not in QUEUES or grounds.with_rabbitmq
    ]
    streams = tuple(one.stream for one in senders)
    if not senders:
        pytest.skip("There is no RabbitMQ on this machine.")
    made = Case(grounds, name, senders, Watch(grounds, streams))
    oracle.begin(grounds.query, DATABASE, senders)
    for one in (*senders, made.watch):
        one.start()
    made.goes_on()
    try:
        yield made
    finally:
        for one in senders:
            one.end()
    _await_all(made, patience)
    made.watch.end()
    made.verdicts = [oracle.judge(grounds.query, DATABASE, one) for one in senders]
    print(made)  # noqa: T201 - what the run is for
    assert all(one.is_good is is_good for one in made.verdicts), made.verdicts


def _sender(grounds: Grounds, stream: str, rate: float, base: int, body: Body) -> Sender:
    if stream not in QUEUES:
        partitions = WIDE if stream == "wide" else KAFKA_PARTITIONS
        return grounds.topic_sender(stream, partitions, rate * 3000, base, body)
    url = grounds.running.urls["RABBITMQ_URL"]
    is_queue = QUEUES[stream] != "stream"
    return RabbitSender(stream, url, rate * 150, base, body, is_queue=is_queue)


def _await_all(made: Case, patience: float) -> None:
    """Until all is there, or nothing new has come for ``patience`` seconds."""
    for one in made.senders:
        wanted = one.total - sum(map(len, one.uncertain.values()))
        reached, since = 0, time.monotonic()
        while reached < wanted and time.monotonic() - since < patience:
            time.sleep(0.3)
            if (now := made.landed(one)) > reached:
                reached, since = now, time.monotonic()
    # What is there too often may come a little later.
    time.sleep(1.5)
