"""Testing a connection: every address of it, and what its sources read."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from ingestion.connectors.connection_trial import (
    ConnectionTrial,
    Outcome,
    Probe,
    StepFinding,
    TrialStep,
)
from ingestion.connectors.registry import probe
from ingestion.errors import ConnectorError
from ingestion.models import Connection, Source

#: Topics or queues that one test looks at, at the most, and seconds after which it begins no other.
STREAMS, SECONDS = 20, 20.0
#: Shorter ones would blot out words that have nothing to do with them.
_SECRET_LENGTH = 4


@dataclass(frozen=True, slots=True)
class TrialReport:
    """``problem``: why nothing could be tried at all. ``stream_word``: topic or queue."""

    connection: Connection
    addresses: tuple[ConnectionTrial, ...] = ()
    streams: tuple[ConnectionTrial, ...] = ()
    stream_word: str = "topic"
    problem: str = ""
    left_out: int = 0

    @property
    def is_good(self) -> bool:
        trials = (*self.addresses, *self.streams)
        return not self.problem and bool(trials) and all(one.is_good for one in trials)


def try_connection(connection: Connection, streams: Sequence[str] = ()) -> TrialReport:
    """Go through all steps; ``streams`` names topics or queues, else those of its sources.

    Takes a second where all is well, and a minute at the most. It changes nothing, and takes no
    message.
    """
    try:
        tried = probe(connection)
    except ConnectorError as error:
        return TrialReport(connection, problem=_shown(connection, str(error)))
    wanted = _wanted(connection, streams)
    try:
        addresses = tried.addresses()
        found = list(_streams(tried, wanted))
    finally:
        tried.close()
    return TrialReport(
        connection,
        tuple(_cleaned(connection, one) for one in addresses),
        tuple(_cleaned(connection, one) for one in found),
        tried.stream_word,
        left_out=len(wanted) - len(found),
    )


def _wanted(connection: Connection, streams: Sequence[str]) -> list[tuple[str, list[Source]]]:
    sources = connection.sources.select_related("tenant").order_by("stream", "pk")
    by_stream: dict[str, list[Source]] = {name: [] for name in streams}
    for source in sources:
        if not streams or source.stream in by_stream:
            by_stream.setdefault(source.stream, []).append(source)
    return list(by_stream.items())


def _streams(tried: Probe, wanted: list[tuple[str, list[Source]]]) -> Iterator[ConnectionTrial]:
    until = time.monotonic() + SECONDS
    for name, sources in wanted[:STREAMS]:
        if time.monotonic() > until:
            return
        yield _stream(tried, name, sources)


def _stream(tried: Probe, name: str, sources: Collection[Source]) -> ConnectionTrial:
    if not tried.is_in:
        steps = (TrialStep.PERMISSION, TrialStep.STREAM)
        return ConnectionTrial(
            name, tuple(StepFinding(step, Outcome.NOT_REACHED) for step in steps)
        )
    note = f"read by {', '.join(map(str, sources))}" if sources else ""
    return replace(tried.stream(name, sources), note=note)


def _cleaned(connection: Connection, one: ConnectionTrial) -> ConnectionTrial:
    findings = tuple(replace(each, said=_shown(connection, each.said)) for each in one.findings)
    return replace(one, findings=findings)


def _shown(connection: Connection, text: str) -> str:
    """What a broker or token endpoint says may repeat what it was sent, or command a terminal."""
    secret = connection.password
    if len(secret) >= _SECRET_LENGTH:
        text = text.replace(secret, "…")
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)
