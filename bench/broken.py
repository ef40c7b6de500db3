"""The rate from Kafka to the typed table with some broken messages, beside the rate without.

Both run in turn, several times. One run before them does not count: the first run pays for Kafka's
warm-up.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from statistics import fmean, harmonic_mean

from bench.ingest import check, landed
from bench.installation import Installation
from bench.messages import fill, make_topics, messages
from bench.report import Result, compared

#: One message in so many is broken: in turn not JSON, of the wrong type, or out of range.
EVERY = 1_000
TURNS = 3


def run(installation: Installation, given: argparse.Namespace) -> list[Result]:
    count = given.broken_messages
    _whole(installation, "broken_warm_up", count)
    turns = [
        (_whole(installation, f"whole{turn}", count), _broken(installation, f"broken{turn}", count))
        for turn in range(TURNS)
    ]
    whole, broken = zip(*turns, strict=True)
    return compared(
        _mean(broken, "with 0.1 % broken messages"), [_mean(whole, "without broken messages")]
    )


def _whole(installation: Installation, name: str, count: int) -> Result:
    result = _landed(installation, name, count, messages(count))
    check(installation, name, count)
    return result


def _broken(installation: Installation, name: str, count: int) -> Result:
    result = _landed(installation, name, count, _harmed(count))
    bad = count // EVERY
    check(installation, name, count - bad)
    check(installation, f"{name}__quarantine", bad)
    return result


def _landed(installation: Installation, name: str, count: int, bodies: Iterator[bytes]) -> Result:
    make_topics(installation.kafka, [name])
    fill(installation.kafka, name, bodies)
    source = installation.make_source(name, name, active=False)
    return landed(installation, source, count, name)


def _mean(turns: tuple[Result, ...], title: str) -> Result:
    """The mean of turns with equal numbers of messages: all messages divided by all seconds."""
    cpu = {name: fmean(turn.cpu[name] for turn in turns) for name in turns[0].cpu}
    note = ", ".join(f"{turn.value:,.0f}" for turn in turns)
    return Result(title, harmonic_mean(turn.value for turn in turns), "rows/s", cpu=cpu, note=note)


def _harmed(count: int) -> Iterator[bytes]:
    harms = (
        lambda body: body[:-1],
        lambda body: body.replace(b'"id":1', b'"id":"x1', 1).replace(b',"user"', b'","user"', 1),
        lambda body: body.replace(b'"items":', b'"items":999', 1),
    )
    for number, body in enumerate(messages(count), start=1):
        turn, rest = divmod(number, EVERY)
        yield body if rest else harms[turn % len(harms)](body)
