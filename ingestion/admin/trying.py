"""The page that tests a connection: what works, what fails, and how to fix it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest

from ingestion.connectors.connection_trial import ConnectionTrial, Outcome, StepFinding, TrialStep
from ingestion.models import Connection
from ingestion.services.trials import STREAMS, TrialReport, try_connection

#: The icon (Material Symbols) and the CSS class of each outcome.
_LOOKS = {
    Outcome.GOOD: ("check_circle", "mr-good"),
    Outcome.DOUBTFUL: ("warning", "mr-warn"),
    Outcome.FAILED: ("cancel", "mr-bad"),
    Outcome.NOT_REACHED: ("radio_button_unchecked", "mr-none"),
}
_LABELS = {
    TrialStep.NAME: "Name",
    TrialStep.ROUTE: "Route",
    TrialStep.TLS: "TLS",
    TrialStep.LOGIN: "Login",
    TrialStep.PERMISSION: "Permission",
}


@dataclass(frozen=True, slots=True)
class TrialLine:
    """One step of a trial, as the page shows it."""

    label: str
    finding: StepFinding
    icon: str
    tone: str


@dataclass(frozen=True, slots=True)
class Card:
    """One trial; ``kind`` says what was tried: an address, a topic or a queue."""

    kind: str
    trial: ConnectionTrial
    lines: list[TrialLine]


def context(connection: Connection, request: HttpRequest) -> dict[str, Any]:
    """The context of ``millrace/test_connection.html``; a POST runs the test."""
    stream = request.POST.get("stream", "").strip()
    word = "queue" if connection.kind == "rabbitmq" else "topic"
    form: dict[str, Any] = {"word": word, "asked": stream, "most": STREAMS}
    if request.method != "POST":
        return form
    report = try_connection(connection, [stream] if stream else [])
    cards = [_card("Address", trial, word) for trial in report.addresses]
    cards += [_card(word.capitalize(), trial, word) for trial in report.streams]
    return form | {"report": report, "cards": cards, "failures": _failures(report)}


def _card(kind: str, trial: ConnectionTrial, word: str) -> Card:
    lines = [
        TrialLine(_LABELS.get(finding.step, word.capitalize()), finding, *_LOOKS[finding.outcome])
        for finding in trial.findings
    ]
    return Card(kind, trial, lines)


def _failures(report: TrialReport) -> int:
    return sum(not trial.is_good for trial in (*report.addresses, *report.streams))
