"""What a repair may say: an expression over its one message, and nothing else."""

from __future__ import annotations

import pytest

from ingestion.quarantine import repair
from ingestion.quarantine.repair import RepairRefused
from tests.security import attacks
from tests.security.tally import Tally

pytestmark = pytest.mark.security


def _taken(text: str) -> str:
    try:
        return repair.checked(text)
    except RepairRefused:
        return ""


def test_no_repair_reads_more_than_its_message(clickhouse_server: str, tally: Tally) -> None:
    for attack in attacks.of("repairs"):
        tally.note("repairs", attack, _taken(attack.text))
    assert not tally.at("repairs", "repairs")


def test_no_attack_on_queries_is_a_repair(clickhouse_server: str, tally: Tally) -> None:
    for attack in attacks.of("sql"):
        tally.note("repairs", attack, _taken(attack.text) or _taken(f"({attack.text})"))
    assert not tally.at("repairs", "sql")


def test_a_check_taken_away_is_seen(
    clickhouse_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repair, "_check", lambda *_: None)
    # The engine would try what the attack says.
    monkeypatch.setattr(repair, "_check_type", lambda *_: None)
    own = Tally()
    for attack in attacks.of("repairs"):
        own.note("repairs", attack, _taken(attack.text))
    assert {what for what, _ in own.at("repairs")} >= {"the server's name", "the clock", "memory"}
