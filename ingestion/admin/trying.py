"""The page that tests a connection: what works, what fails, and how to mend it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest

from ingestion.connectors.connection_trial import ConnectionTrial, Outcome, StepFinding, TrialStep
from ingestion.models import Connection
from ingestion.services.trials import STREAMS, TrialReport, try_connection

#: Of each outcome the icon (Material Symbols) and its colour's class.
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
    """A step of a trial."""

    label: str
    finding: StepFinding
    icon: str
    tone: str


@dataclass(frozen=True, slots=True)
class Card:
    """A trial; ``kind`` says of what."""

    kind: str
    trial: ConnectionTrial
    lines: list[TrialLine]


def context(connection: Connection, request: HttpRequest) -> dict[str, Any]:
    """For ``millrace/test_connection.html``."""
    asked = request.POST.get("stream", "").strip()
    word = "queue" if connection.kind == "rabbitmq" else "topic"
    found: dict[str, Any] = {"word": word, "asked": asked, "most": STREAMS}
    if request.method != "POST":
        return found
    report = try_connection(connection, [asked] if asked else [])
    cards = [_card("Address", one, word) for one in report.addresses]
    cards += [_card(word.capitalize(), one, word) for one in report.streams]
    return found | {"report": report, "cards": cards, "failures": _failures(report)}


def _card(kind: str, one: ConnectionTrial, word: str) -> Card:
    lines = [
        TrialLine(_LABELS.get(each.step, word.capitalize()), each, *_LOOKS[each.outcome])
        for each in one.findings
    ]
    return Card(kind, one, lines)


def _failures(report: TrialReport) -> int:
    return sum(not one.is_good for one in (*report.addresses, *report.streams))
