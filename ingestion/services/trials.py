"""Tests a connection: each of its addresses, and the topics or queues that its sources read."""

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

#: How many topics or queues one test covers at most, and after how many seconds it starts no other.
STREAMS, SECONDS = 20, 20.0
#: Secrets shorter than this are not masked: that would mask unrelated words, too.
_SECRET_LENGTH = 4


@dataclass(frozen=True, slots=True)
class TrialReport:
    """The outcome of a test.

    ``problem``: why nothing could be tested at all. ``stream_word``: "topic" or "queue".
    ``left_out``: how many streams were not tested.
    """

    connection: Connection
    addresses: tuple[ConnectionTrial, ...] = ()
    streams: tuple[ConnectionTrial, ...] = ()
    stream_word: str = "topic"
    problem: str = ""
    left_out: int = 0

    @property
    def is_good(self) -> bool:
        trials = (*self.addresses, *self.streams)
        return not self.problem and bool(trials) and all(trial.is_good for trial in trials)


def try_connection(connection: Connection, streams: Sequence[str] = ()) -> TrialReport:
    """Test the connection, with the topics or queues in ``streams``, else those of its sources.

    Takes a second if all is well, and a minute at most. Changes nothing and takes no messages.
    """
    try:
        tried = probe(connection)
    except ConnectorError as error:
        return TrialReport(connection, problem=_shown(connection, str(error)))
    wanted = _wanted(connection, streams)
    try:
        addresses = tried.addresses()
        tested = list(_streams(tried, wanted))
    finally:
        tried.close()
    return TrialReport(
        connection,
        tuple(_cleaned(connection, trial) for trial in addresses),
        tuple(_cleaned(connection, trial) for trial in tested),
        tried.stream_word,
        left_out=len(wanted) - len(tested),
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


def _cleaned(connection: Connection, trial: ConnectionTrial) -> ConnectionTrial:
    findings = tuple(
        replace(finding, said=_shown(connection, finding.said)) for finding in trial.findings
    )
    return replace(trial, findings=findings)


def _shown(connection: Connection, text: str) -> str:
    """Mask the password and replace control characters.

    A broker or token endpoint may echo the password, or send escape sequences to a terminal.
    """
    secret = connection.password
    if len(secret) >= _SECRET_LENGTH:
        text = text.replace(secret, "…")
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
