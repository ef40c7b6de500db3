"""The guard as ClickHouse's own parser reads for it: what passes runs, and nothing hostile."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics_api import guard as package
from analytics_api.guard import QueryRefused, check
from analytics_api.guard.clickhouse_parser import write
from tests.analytics_api.guard.conftest import Guard
from tests.security import attacks
from tests.security.cast import MINE, TABLES
from tests.security.engine_alone import EngineAlone, ask_of

HONEST = [line for name in attacks.HONEST for line in attacks.lines(name)]
ATTACKS = [one for one in attacks.of("sql") if one.not_held_by != "guard"]
#: What gives another answer each time, or none without values.
_UNEQUAL = re.compile(r"(?i)now|today|yesterday|uuid|\{\w+\s*:|xff")


def _answer(engine: EngineAlone, sql: str) -> str:
    return engine.run(f"{sql.rstrip('; ')}\nFORMAT TSVWithNamesAndTypes").text


@pytest.mark.parametrize("sql", HONEST)
def test_an_honest_query_passes_and_gives_the_engines_own_answer(
    sql: str, guard: Guard, engine: EngineAlone
) -> None:
    guarded = guard(sql)
    assert guard(guarded.sql).sql == guarded.sql
    if _UNEQUAL.search(sql) or ";" in sql:
        return
    asked = ", ".join(f"{name} = '{value}'" for name, value in guarded.settings.items())
    whole = f"{guarded.sql} SETTINGS {asked}" if asked else guarded.sql
    own = engine.run(f"{sql}\n").text if asked else _answer(engine, sql)
    assert "Code:" not in own
    guarded_answer = engine.run(whole).text if asked else _answer(engine, whole)
    # Without ORDER BY rows come in any order.
    assert sorted(guarded_answer.splitlines()) == sorted(own.splitlines())


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda one: one.what)
def test_an_attack_is_refused(attack: attacks.Attack, guard: Guard) -> None:
    with pytest.raises(QueryRefused) as refused:
        guard(attack.text)
    assert refused.value.message
    assert "__table" not in refused.value.message


@pytest.mark.parametrize("sql", ["0", "delay + 1", "1, 2", "'a'"])
def test_an_expression_is_no_query(sql: str, guard: Guard) -> None:
    """ClickHouse takes a bare one for a SELECT of it."""
    with pytest.raises(QueryRefused) as refused:
        guard(sql)
    assert refused.value.code == "not_select"


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("SELECT 0xFF, 1_000, x'41', 1. FROM flights", "SELECT 255, 1000, 'A', 1. FROM flights"),
        ("SELECT $a$it's$a$ # said", r"SELECT 'it\'s'"),
        ("SELECT /* a /* b */ c */ 1 -- d", "SELECT 1"),
        ("SELECT delay FROM flights ORDER BY 1 FETCH FIRST 2 ROWS ONLY", None),
        (r"SELECT '\xff', x'fe', 'é'", r"SELECT '\xff', '\xfe', 'é'"),
        ("SELECT {day: Date}", "SELECT {day:Date}"),
    ],
)
def test_what_runs_is_what_the_engine_wrote(sql: str, text: str | None, guard: Guard) -> None:
    assert guard(sql).sql == (text or "SELECT delay FROM flights ORDER BY 1 ASC LIMIT 2")


def test_what_a_query_uses_is_told(guard: Guard) -> None:
    found = guard(
        "WITH x -> x + 1 AS inc, late (d) AS (SELECT delay FROM flights PREWHERE delay > 1) "
        "SELECT inc(max(d)), {day: Date} FROM late WHERE d IN (SELECT y FROM t_ua.weather) "
        "AND d > {least:Int32} AND 'a' IN events SETTINGS join_use_nulls = 1"
    )
    assert found.tables == {"flights", "weather", "events"}
    assert found.functions == {"max"}
    assert [(p.name, str(p.type)) for p in found.parameters] == [
        ("day", "Date"),
        ("least", "Int32"),
    ]
    assert found.settings == {"join_use_nulls": "1"}
    assert found.has_prewhere
    assert "SETTINGS" not in found.sql


@pytest.mark.parametrize(
    ("sql", "word", "code"),
    [
        ("SELECT 1,\n  file('/etc/passwd')", "file", "function"),
        ("SELECT 'file', /* file */ $$file$$,\n file('/etc/passwd')", "file('/", "function"),
        ("SELECT lower(origin), `file`('/x') FROM flights", "file", "function"),
        ("SELECT 1 FROM flights\nWHERE )", ")", "syntax"),
        ("SELECT 'ü', 1 FROM flights WHERE ]", "]", "syntax"),
        ("SELECT arrayMap(file, ['/etc/passwd'])", "file", "function"),
        ("SELECT {x:Nonsense}", "{", "parameter"),
    ],
)
def test_a_refusal_says_where(sql: str, word: str, code: str, guard: Guard) -> None:
    with pytest.raises(QueryRefused) as refused:
        guard(sql)
    assert (refused.value.code, refused.value.position) == (code, sql.index(word))


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("SELECT 1 SETTINGS readonly = 0", "may not change the setting readonly"),
        ("SELECT 1 SETTINGS join_use_nulls = 7", "can be 0 or 1, not '7'"),
        ("SELECT * FROM (SELECT 1 SETTINGS join_use_nulls = 1)", "SETTINGS is not allowed here"),
        ("SELECT 1 FORMAT CSV", "the caller chooses the format"),
        ("SELECT 1; SELECT 2", "one statement"),
        ("INSERT INTO flights VALUES (1)", "A saved query is "),
        ("DROP TABLE flights", "this is DROP"),
        ("SELECT * FROM t_aa.flights", "no table t_aa.flights in t_ua"),
        ("SELECT * FROM {t:Identifier}", "Identifier"),
        ("SELECT * FROM url('http://x')", "function url is not allowed"),
        ("SELECT formatRow('Protobuf', 1)", "JSONEachRow"),
    ],
)
def test_a_refusal_says_what_would_be_right(sql: str, says: str, guard: Guard) -> None:
    with pytest.raises(QueryRefused, match=re.escape(says)):
        guard(sql)


def test_a_huge_or_deep_query_is_refused(guard: Guard) -> None:
    for sql in (
        "SELECT " + "(" * 5000 + "1" + ")" * 5000,
        "SELECT " + "[" * 300 + "1" + "]" * 300,
        "SELECT " + "1," * 60_000 + "1",
        "SELECT " + "a AND (b OR NOT (" * 2000,
    ):
        with pytest.raises(QueryRefused):
            guard(sql)


@pytest.mark.slow
@given(st.text(max_size=80))
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_text_makes_the_guard_fail_otherwise(guard: Guard, text: str) -> None:
    for sql in (text, f"SELECT {text}", f"SELECT 1 FROM flights {text}"):
        try:
            guard(sql)
        except QueryRefused:
            continue


def test_a_text_that_the_tree_does_not_wholly_say_is_not_taken_for_it(engine: EngineAlone) -> None:
    """As a ClickHouse would give it whose tree leaves something out: sqlglot reads it, too."""
    ask = ask_of(engine)

    def halved(sql: str, bound: object) -> list[dict[str, object]]:
        rows = ask(sql, bound)  # type: ignore[arg-type]
        return [row | {"whole": 0} for row in rows]

    assert write("SELECT 1", halved) is None
    assert write("SELECT -0.0", ask) is None
    assert check("SELECT -0.0", tables=TABLES, database=MINE, ask=ask).sql == "SELECT -0.0"
    with pytest.raises(QueryRefused):
        check("SELECT 0xFF, 1_0", tables=TABLES, database=MINE, ask=halved)


@pytest.mark.parametrize("part", ["tree.read", "calls.check"])
def test_each_reader_alone_refuses_functions(
    part: str, guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tokens and tree stand for themselves: with the other gone, no function gets through."""
    owner, name = part.split(".")
    nothing = package.tree.Reading() if owner == "tree" else frozenset()
    monkeypatch.setattr(getattr(package, owner), name, lambda *_, **__: nothing)
    for sql in (
        "SELECT file('/etc/passwd')",
        "SELECT arrayMap(file, ['/etc/passwd'])",
        "SELECT * APPLY(file) FROM flights",
        "WITH x -> file(x) AS f SELECT f('/etc/passwd')",
        "SELECT arrayReduce('flameGraph', [[1]])",
        "SELECT formatRow('Protobuf', 1)",
        "SELECT currentRequestURL",
    ):
        with pytest.raises(QueryRefused):
            guard(sql)
