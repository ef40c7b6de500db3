"""What is put behind a ``*``, and how much work that is."""

from __future__ import annotations

from typing import Any

import pytest

from analytics_api import asterisk
from analytics_api.asterisk import own_columns
from analytics_api.guard import clickhouse_parser
from analytics_api.services.saved_queries import check_query

TABLES = ("events", "events__quarantine")
HIDDEN = f" EXCEPT ({', '.join(asterisk.TECHNICAL)})"


def test_many_qualifiers_read_the_sources_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    sources = asterisk._StarStatement._sources

    def counted(self: Any, select: int) -> Any:
        read.append(select)
        return sources(self, select)

    monkeypatch.setattr(asterisk._StarStatement, "_sources", counted)
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


def test_a_text_that_clickhouse_has_not_written_is_read_as_its_authors(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = "SELECT *, 'it''s ) FROM numbers(1) AS (' AS s FROM events -- it's"
    monkeypatch.setattr(clickhouse_parser, "write", lambda _sql, _ask: None)  # an older server
    read: list[bool] = []
    own = asterisk.own_columns

    def seen(text: str, tables: Any, *, is_written: bool = False) -> str:
        read.append(is_written)
        return own(text, tables, is_written=is_written)

    monkeypatch.setattr(asterisk, "own_columns", seen)
    names = [one["name"] for one in check_query(api.tenant, sql).columns]
    assert (names, read) == (["n", "who", "price", "s"], [False])
