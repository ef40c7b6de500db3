"""What a source's filter may say: a condition over its table's columns, and nothing else."""

from __future__ import annotations

import pytest

from ingestion.ddl import ColumnSpec, SourceFilter, source_filters
from tests.security import attacks
from tests.security.tally import Tally

pytestmark = pytest.mark.security

COLUMNS = (ColumnSpec("raw", "String"), ColumnSpec("origin", "Nullable(String)", required=False))


def _taken(text: str) -> str:
    """The filter if it is taken; it reads a column, so that it is not refused for that."""
    wanted = SourceFilter(1, f"raw = '' AND ({text}) = origin")
    return "" if list(source_filters.problems(COLUMNS, [wanted])) else text


def test_the_wall_lets_an_honest_filter_through() -> None:
    assert _taken("lower(raw)")


@pytest.mark.parametrize("corpus", ["repairs", "sql"])
def test_no_filter_reads_more_than_its_message(corpus: str, tally: Tally) -> None:
    for attack in attacks.of(corpus):
        tally.note("filters", attack, _taken(attack.text) or _taken(f"raw) = '' OR ({attack.text}"))
    assert not tally.at("filters", corpus)


def test_a_check_taken_away_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_filters, "problems", lambda *_: ())
    own = Tally()
    for attack in attacks.of("repairs"):
        own.note("filters", attack, _taken(attack.text))
    assert {what for what, _ in own.at("filters")} >= {"the server's name", "the clock", "memory"}
