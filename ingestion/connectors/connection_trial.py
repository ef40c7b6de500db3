"""Tests a connection step by step, and says which step fails and how to fix it.

A trial runs the steps of one address, or of one stream, and ends at the first that fails.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from ingestion.models import Connection, Source

#: Seconds that each step may take.
TIMEOUT = 4.0


class TrialStep(StrEnum):
    NAME = "name"
    ROUTE = "route"
    TLS = "tls"
    LOGIN = "login"
    PERMISSION = "permission"
    STREAM = "stream"


class Outcome(StrEnum):
    GOOD = "good"
    DOUBTFUL = "doubtful"
    FAILED = "failed"
    NOT_REACHED = "not reached"


@dataclass(frozen=True, slots=True)
class StepFinding:
    """The result of a step. ``said``: what was found; ``mend``: how to fix it if it is not good."""

    step: TrialStep
    outcome: Outcome
    said: str = ""
    mend: str = ""
    seconds: float = 0.0


class StepFailed(Exception):
    """A step failed. ``said`` is what was found, ``mend`` how to fix it; both are shown."""

    outcome = Outcome.FAILED

    def __init__(self, said: str, mend: str) -> None:
        super().__init__(said)
        self.said, self.mend = said, mend


class StepDoubtful(StepFailed):
    """A step succeeded, but something should be fixed."""

    outcome = Outcome.DOUBTFUL


@dataclass(frozen=True, slots=True)
class ConnectionTrial:
    """The trial of ``subject``, an address or a stream; ``note`` says where that comes from."""

    subject: str
    findings: tuple[StepFinding, ...]
    note: str = ""

    @property
    def is_good(self) -> bool:
        good = {Outcome.GOOD, Outcome.DOUBTFUL}
        return all(finding.outcome in good for finding in self.findings)

    @property
    def failure(self) -> StepFinding | None:
        """The step that failed, if one did."""
        failures = (finding for finding in self.findings if finding.outcome is Outcome.FAILED)
        return next(failures, None)


Act = Callable[[], str]


def run(subject: str, steps: Iterable[tuple[TrialStep, Act]], note: str = "") -> ConnectionTrial:
    """Run the steps in turn; each returns what it found, or raises StepFailed."""
    findings: list[StepFinding] = []
    failed = False
    for step, act in steps:
        finding = StepFinding(step, Outcome.NOT_REACHED) if failed else _done(step, act)
        failed = failed or finding.outcome is Outcome.FAILED
        findings.append(finding)
    return ConnectionTrial(subject, tuple(findings), note)


def failed(
    subject: str, steps: Iterable[TrialStep], error: StepFailed, note: str = ""
) -> ConnectionTrial:
    """A trial that fails at the first of ``steps``."""

    def act() -> str:
        raise error

    return run(subject, [(step, act) for step in steps], note)


def _done(step: TrialStep, act: Act) -> StepFinding:
    began = time.monotonic()
    try:
        said, mend, outcome = act(), "", Outcome.GOOD
    except StepFailed as error:
        said, mend, outcome = error.said, error.mend, error.outcome
    return StepFinding(step, outcome, said, mend, time.monotonic() - began)


class Probe(ABC):
    """Tests one connection. Used by one thread. Raises Refused for settings that aren't allowed."""

    #: What brokers of the kind call a stream: "topic" or "queue".
    stream_word: str

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    @abstractmethod
    def addresses(self) -> list[ConnectionTrial]:
        """Test name, route, TLS and login of each address."""

    @property
    @abstractmethod
    def is_in(self) -> bool:
        """Whether ``addresses`` has found an address where the login succeeds."""

    @abstractmethod
    def stream(self, name: str, sources: Collection[Source]) -> ConnectionTrial:
        """Test permission and existence of a topic or queue, as ``sources`` would read it.

        Call it only if ``is_in``.
        """

    def close(self) -> None:  # noqa: B027 - some hold nothing
        """Close the connection to the broker."""
