"""Wall three alone: what it lets pass is run with every right there is, and must show nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from analytics_api import guard
from analytics_api.guard import QueryRefused
from tests.security import attacks
from tests.security.cast import MINE, TABLES
from tests.security.engine_alone import EVERYTHING, EngineAlone, leak, opened
from tests.security.tally import Tally

pytestmark = pytest.mark.security


def _passed(sql: str) -> str:
    """The text that would run, '' where the guard refuses."""
    try:
        return guard.check(sql, tables=TABLES, database=MINE).sql
    except QueryRefused:
        return ""


def _attack(engine: EngineAlone, tally: Tally) -> None:
    for attack in attacks.of("sql"):
        text = _passed(attack.text)
        leaked = leak(engine.run(text)) if text else ""
        if text and attack.not_held_by != "guard":
            leaked = leaked or "the guard's consent"
        tally.note("guard", attack, leaked)


def test_the_guard_alone_lets_no_attack_show_anything(folder: Path, tally: Tally) -> None:
    with opened(folder, EVERYTHING, limited=False) as engine:
        _attack(engine, tally)
    assert not tally.at("guard")


@pytest.mark.parametrize(
    "part",
    ["analytics_api.guard.statement.tables_of", "analytics_api.guard.calls.check"],
)
def test_a_guard_without_one_of_its_parts_is_seen(
    part: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(part, lambda *_, **__: frozenset())
    with opened(folder, EVERYTHING, limited=False) as engine:
        own = Tally()
        for attack in attacks.of("sql"):
            text = _passed(attack.text) if "SELECT" in attack.text.upper() else ""
            own.note("guard", attack, leak(engine.run(text)) if text else "")
    assert own.leaks


def test_the_engines_own_reading_alone_lets_no_attack_show_anything(
    folder: Path, tally: Tally
) -> None:
    """As if tokens and sqlglot saw nothing: the tree of ClickHouse's parser, held to the lists."""
    import json

    from analytics_api.guard import engine as reading

    with opened(folder, EVERYTHING, limited=False) as engine:
        for attack in attacks.of("sql"):
            bound = {"sql": attack.text}
            read = engine.run("SELECT parseQueryToJSON({sql:String}) AS tree", bound)
            if read.error or read.crashed:
                tally.note("reading", attack, "")
                continue
            try:
                reading.check_json(read.result, tables=TABLES, database=MINE)
            except (QueryRefused, json.JSONDecodeError):
                tally.note("reading", attack, "")
            else:
                tally.note("reading", attack, leak(engine.run(attack.text)))
    assert not tally.at("reading")
