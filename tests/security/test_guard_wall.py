"""Wall three alone: what it lets pass is run with every right there is, and must show nothing.

Both of its readers: ClickHouse's own parser, and sqlglot for a server that can't give its tree.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from analytics_api import guard
from analytics_api.guard import QueryRefused, query_settings
from analytics_api.guard.clickhouse_parser import Ask, write
from analytics_api.guard.tree import Reading
from tests.security import attacks
from tests.security.cast import MINE, TABLES
from tests.security.engine_alone import EVERYTHING, EngineAlone, ask_of, leak, opened
from tests.security.tally import Tally

pytestmark = pytest.mark.security


def _passed(sql: str, ask: Ask | None = None) -> str:
    """The text that would run, '' where the guard refuses."""
    try:
        return guard.check(sql, tables=TABLES, database=MINE, ask=ask).sql
    except QueryRefused:
        return ""


def _attack(engine: EngineAlone, tally: Tally, wall: str, ask: Ask | None = None) -> None:
    for attack in attacks.of("sql"):
        text = _passed(attack.text, ask)
        leaked = leak(engine.run(text)) if text else ""
        if text and attack.not_held_by != "guard":
            leaked = leaked or "the guard's consent"
        tally.note(wall, attack, leaked)


def _is_select(text: str) -> bool:
    """Without its tree the guard lets SYSTEM SHUTDOWN pass, which ends this process, too."""
    return text.startswith(("SELECT ", "WITH ", "FROM ")) and "OUTFILE" not in text


@pytest.mark.parametrize("wall", ["guard", "guard, old"])
def test_the_guard_alone_lets_no_attack_show_anything(
    wall: str, folder: Path, tally: Tally
) -> None:
    with opened(folder, EVERYTHING, limited=False) as engine:
        _attack(engine, tally, wall, ask_of(engine) if wall == "guard" else None)
    assert not tally.at(wall)


@pytest.mark.parametrize("part", ["tree.read", "calls.check"])
def test_a_guard_without_one_of_its_readers_still_shows_no_function(
    part: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tokens know no tables; what reaches past them both readers know by themselves."""
    nothing = Reading() if part == "tree.read" else frozenset()
    monkeypatch.setattr(f"analytics_api.guard.{part}", lambda *_, **__: nothing)
    own = Tally()
    with opened(folder, EVERYTHING, limited=False) as engine:
        ask = ask_of(engine)
        for attack in attacks.of("sql"):
            text = _passed(attack.text, ask)
            leaked = leak(engine.run(text)) if _is_select(text) else ""
            own.note("guard", attack, leaked if part == "calls.check" or "file" in leaked else "")
            assert leaked in ("", "the other tenant's rows"), attack
    assert not own.at("guard")


def test_a_guard_without_its_tree_is_seen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analytics_api.guard.tree.read", lambda *_, **__: Reading())
    own = Tally()
    with opened(folder, EVERYTHING, limited=False) as engine:
        for attack in attacks.of("sql"):
            text = _passed(attack.text, ask_of(engine))
            own.note("guard", attack, leak(engine.run(text)) if _is_select(text) else "")
    assert len(own.leaks) > 30


@pytest.mark.parametrize(
    "part",
    ["analytics_api.guard.sqlglot_parser.tables_of", "analytics_api.guard.calls.check"],
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


def test_the_text_that_runs_is_the_one_that_was_checked(folder: Path) -> None:
    """Whatever passes is, parsed once more, the tree that was read: to the letter its own text."""
    honest = [line for name in attacks.HONEST for line in attacks.lines(name)]
    with opened(folder, EVERYTHING, limited=False) as engine:
        ask = ask_of(engine)
        for sql in [*honest, *(attack.text for attack in attacks.of("sql"))]:
            text = _passed(sql, ask)
            if not text:
                continue
            again = write(text, ask)
            assert again is not None
            assert again.text == text
            assert not query_settings.take(again.tree)[0]
