"""Trying a connection step by step, so that what fails is named, and how to mend it.

A trial goes through the steps of one address, or of one stream, and ends at the first that fails.
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
    """What a step has shown. ``mend``: what to do about it, where it is not good."""

    step: TrialStep
    outcome: Outcome
    said: str = ""
    mend: str = ""
    seconds: float = 0.0


class StepFailed(Exception):
    """A step can't go through; whoever runs the trial is told ``said`` and ``mend``."""

    outcome = Outcome.FAILED

    def __init__(self, said: str, mend: str) -> None:
        super().__init__(said)
        self.said, self.mend = said, mend


class StepDoubtful(StepFailed):
    """A step went through, and yet something of it wants mending."""

    outcome = Outcome.DOUBTFUL


@dataclass(frozen=True, slots=True)
class ConnectionTrial:
    """Of ``subject``, an address or a stream; ``note`` says where that comes from."""

    subject: str
    findings: tuple[StepFinding, ...]
    note: str = ""

    @property
    def is_good(self) -> bool:
        good = {Outcome.GOOD, Outcome.DOUBTFUL}
        return all(one.outcome in good for one in self.findings)

    @property
    def failure(self) -> StepFinding | None:
        """The step at which it ended."""
        return next((one for one in self.findings if one.outcome is Outcome.FAILED), None)


Act = Callable[[], str]


def run(subject: str, steps: Iterable[tuple[TrialStep, Act]], note: str = "") -> ConnectionTrial:
    """Do the steps in turn; each returns what it found, or raises StepFailed."""
    findings: list[StepFinding] = []
    failed = False
    for step, act in steps:
        one = StepFinding(step, Outcome.NOT_REACHED) if failed else _done(step, act)
        failed = failed or one.outcome is Outcome.FAILED
        findings.append(one)
    return ConnectionTrial(subject, tuple(findings), note)


def failed(
    subject: str, steps: Iterable[TrialStep], error: StepFailed, note: str = ""
) -> ConnectionTrial:
    """A trial that ends at the first of ``steps``."""

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
    """Tries one connection. Used by one thread; raises Refused for settings that can't be."""

    #: What a stream is called on brokers of the kind.
    stream_word: str

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    @abstractmethod
    def addresses(self) -> list[ConnectionTrial]:
        """Name, route, TLS and login of each address."""

    @property
    @abstractmethod
    def is_in(self) -> bool:
        """Whether ``addresses`` has found a way to ask for streams."""

    @abstractmethod
    def stream(self, name: str, sources: Collection[Source]) -> ConnectionTrial:
        """Permission and existence of a topic or queue, as ``sources`` would read it.

        Called while ``is_in``.
        """

    def close(self) -> None:  # noqa: B027 - some hold nothing
        """Let go of the broker."""
