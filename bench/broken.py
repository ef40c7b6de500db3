"""The rate from Kafka to the typed table with broken messages among them, beside that without."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from bench.ingest import check, landed
from bench.installation import Installation
from bench.messages import fill, make_topics, messages
from bench.report import Result, compared

#: One of so many does not fit; by turns it is no JSON, of the wrong type, or out of range.
EVERY = 1_000


def run(installation: Installation, given: argparse.Namespace) -> list[Result]:
    count = given.broken_messages
    whole = _landed(installation, "whole", count, messages(count), "without broken messages")
    check(installation, "whole", count)
    bad = count // EVERY
    broken = _landed(installation, "broken", count, _broken(count), "with 0.1 % broken messages")
    check(installation, "broken", count - bad)
    check(installation, "broken__quarantine", bad)
    return compared(broken, [whole])


def _landed(
    installation: Installation, name: str, count: int, bodies: Iterator[bytes], title: str
) -> Result:
    make_topics(installation.kafka, [name])
    fill(installation.kafka, name, bodies)
    source = installation.make_source(name, name, active=False)
    return landed(installation, source, count, title)


def _broken(count: int) -> Iterator[bytes]:
    harms = (
        lambda body: body[:-1],
        lambda body: body.replace(b'"id":1', b'"id":"x1', 1).replace(b',"user"', b'","user"', 1),
        lambda body: body.replace(b'"items":', b'"items":999', 1),
    )
    for number, body in enumerate(messages(count), start=1):
        turn, rest = divmod(number, EVERY)
        yield body if rest else harms[turn % len(harms)](body)
