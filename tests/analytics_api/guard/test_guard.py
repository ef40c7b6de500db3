"""Attacks are refused before any engine sees them, and honest queries pass."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_api.guard import GuardedQuery, QueryRefused, check, declared, lexer, named_types
from tests.security import attacks
from tests.security.cast import MINE, TABLES

#: What passes and does no harm is tried in tests/security.
ATTACKS = [one for one in attacks.of("sql") if one.not_held_by != "guard"]


def guard(sql: str) -> GuardedQuery:
    return check(sql, tables=TABLES, database=MINE)


def test_the_corpus_is_large() -> None:
    assert len(ATTACKS) >= 350
    assert len(attacks.lines("legitimate")) >= 100


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda one: one.what)
def test_an_attack_is_refused(attack: attacks.Attack) -> None:
    with pytest.raises(QueryRefused) as refused:
        guard(attack.text)
    assert refused.value.message


@pytest.mark.parametrize("sql", attacks.lines("legitimate"))
def test_an_honest_query_passes(sql: str) -> None:
    assert guard(sql).sql


@pytest.mark.parametrize(
    ("template", "code"),
    [
        ("{}", "unknown_table"),
        ("SELECT * FROM ({}) AS x", "unknown_table"),
        ("WITH c AS ({}) SELECT * FROM c", "unknown_table"),
        ("SELECT 1 FROM flights WHERE delay IN ({})", "unknown_table"),
        ("SELECT 1 UNION ALL {}", "unknown_table"),
        ("SELECT ({} LIMIT 1)", "unknown_table"),
    ],
)
def test_a_foreign_table_is_found_wherever_it_stands(template: str, code: str) -> None:
    with pytest.raises(QueryRefused) as refused:
        guard(template.format("SELECT 1 FROM t_aa.flights"))
    assert refused.value.code == code


def test_what_a_query_uses_is_told() -> None:
    found = guard(
        "WITH late AS (SELECT * FROM flights) SELECT max(l.delay), {day: Date} FROM late AS l "
        "JOIN t_ua.weather USING (hour) WHERE x IN {names:Array(String)} AND day > {day:Date} -- x"
    )
    assert found.tables == {"flights", "weather"}
    assert found.functions == {"max"}
    assert [(p.name, str(p.type)) for p in found.parameters] == [
        ("day", "Date"),
        ("names", "Array(String)"),
    ]
    assert "--" not in found.sql


def test_comments_are_blanked_and_offsets_kept() -> None:
    sql = "SELECT /* a\nb */ 1, -- c\n 'x -- y' FROM flights"
    text = guard(sql).sql
    assert len(text) == len(sql)
    assert text.index("'x -- y'") == sql.index("'x -- y'")
    assert text.count("\n") == sql.count("\n")


def test_parameters_in_strings_and_comments_are_not_parameters() -> None:
    found = guard("SELECT '{a:String}', {b:String} /* {c:String} */ -- {d:String}")
    assert [p.name for p in found.parameters] == ["b"]


def test_a_refusal_says_where() -> None:
    sql = "SELECT 1,\n  file('/etc/passwd')"
    with pytest.raises(QueryRefused) as refused:
        guard(sql)
    assert refused.value.position == sql.index("file")
    assert "file" in refused.value.message


def test_a_huge_or_deep_query_is_refused_quickly() -> None:
    for sql in (
        "SELECT " + "(" * 5000 + "1" + ")" * 5000,
        "SELECT " + "1," * 60_000 + "1",
    ):
        with pytest.raises(QueryRefused):
            guard(sql)


def test_a_comment_that_is_not_closed_is_refused_where_it_starts() -> None:
    """At the first of them: to look for the end of each would hold the process for seconds."""
    for signs in ("/*", "/* " * 30_000, "/* */ /* 1"):
        sql = f"SELECT 1 {signs}"
        with pytest.raises(QueryRefused) as refused:
            guard(sql)
        assert refused.value.position == (sql.rindex("/*") if "*/" in sql else sql.index("/*"))
        assert refused.value.message == "The comment /* is not closed by */."


@pytest.mark.timeout(60)
def test_blanks_within_a_parameter_are_read_once() -> None:
    tokens = list(lexer.tokens(f"SELECT {{a:x{' ' * 500_000}x}}"))
    with pytest.raises(QueryRefused, match="can't have the type"):
        declared.find(tokens)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("part", ["a", "1a", "a_", "' ", "\\'", "` ", '" ', "/* "])
def test_the_text_of_a_type_is_read_once(part: str) -> None:
    with suppress(QueryRefused):
        named_types.check(part * 400_000)


@pytest.mark.parametrize(
    "text",
    [
        "AggregateFunction(sum, UInt8)",
        "Nullable(AggregateFunction (sum, UInt8))",
        "AggregateFunction/* ' */(sum, UInt8)",
        "/* ' */ AggregateFunction(sum, UInt8) /* ' */",
        "Tuple(a -- '\n AggregateFunction(sum, UInt8) -- '\n)",
        "Tuple(`'` AggregateFunction(sum, UInt8), `'` UInt8)",
        "`AggregateFunction`(sum, UInt8)",
    ],
)
def test_a_type_that_is_not_allowed_is_found_wherever_it_is_named(text: str) -> None:
    with pytest.raises(QueryRefused, match=r"may not name the type AggregateFunction\."):
        named_types.check(text)


@pytest.mark.parametrize("text", ["Tuple(a 'UInt8)", "UInt8 # x", "Array(UInt8 /* x)", "1a(UInt8)"])
def test_a_type_that_can_not_be_read_is_refused(text: str) -> None:
    with pytest.raises(QueryRefused, match=r"The type .+ can't be read\."):
        named_types.check(text)


@pytest.mark.parametrize(
    "text",
    [
        "Enum8('it''s' = 1, 'f(x)' = 2)",
        "Tuple(`f` Nullable(DateTime64(3, 'Europe/Berlin')), a Array(UInt8))",
        "JSON(max_dynamic_paths=8, a.b UInt8, SKIP REGEXP 'x(y)')",
        "Map(String, Decimal(9, 2)) /* x(y) */",
        "",
    ],
)
def test_types_that_are_allowed_pass(text: str) -> None:
    named_types.check(text)


@given(st.text(max_size=80))
@settings(max_examples=300, deadline=None)
def test_no_text_makes_the_guard_fail_otherwise(text: str) -> None:
    for sql in (text, f"SELECT {text}", f"SELECT 1 FROM flights {text}"):
        try:
            guard(sql)
        except QueryRefused:
            continue
