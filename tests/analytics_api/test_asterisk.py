"""What is put behind a ``*``, and how much work that is."""

from __future__ import annotations

from typing import Any

import pytest

from analytics_api import asterisk
from analytics_api.asterisk import own_columns

TABLES = ("events", "events__quarantine")
HIDDEN = f" EXCEPT ({', '.join(asterisk.TECHNICAL)})"


def test_many_qualifiers_read_the_sources_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    sources = asterisk._Statement._sources

    def counted(self: Any, select: int) -> Any:
        read.append(select)
        return sources(self, select)

    monkeypatch.setattr(asterisk._Statement, "_sources", counted)
    names = [f"a{number}" for number in range(300)]
    stars = ", ".join(f"{name}.*" for name in names)
    text = own_columns(f"SELECT {stars}, e.* FROM events AS e", TABLES)
    assert text == f"SELECT {stars}, e.*{HIDDEN} FROM events AS e"
    assert len(read) == 1


@pytest.mark.parametrize(
    ("sql", "kept"),
    [
        ("SELECT n FROM (SELECT * FROM events) WHERE _offset > 0", {"_offset"}),
        ("SELECT n FROM (SELECT * FROM events WHERE _offset > 0)", set()),
        ("SELECT _batch FROM (SELECT * FROM events WHERE _batch != '') AS e", {"_batch"}),
        ("FROM events SELECT *", set()),
        ("SELECT * FROM events AS a, (SELECT _offset FROM events) AS b", {"_offset"}),
    ],
)
def test_what_others_name_is_kept(sql: str, kept: set[str]) -> None:
    hidden = ", ".join(name for name in asterisk.TECHNICAL if name not in kept)
    assert own_columns(sql, TABLES) == sql.replace("*", f"* EXCEPT ({hidden})")
