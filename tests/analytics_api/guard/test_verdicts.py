"""Every name that the engine has got a verdict, and the verdict is what the guard goes by."""

from __future__ import annotations

from collections import defaultdict

import pytest

from analytics_api.guard import QueryRefused, allowed_names, check, verdicts
from analytics_api.guard.verdicts import Verdict
from tests.analytics_api.guard.conftest import Guard
from tests.security.cast import MINE, TABLES
from tests.security.engine_alone import EngineAlone
from tools.engine_functions import NAMES_SQL, merged

#: Without a bracket these are calls where no column has the name; they tell the user's own name.
_OWN_NAME = {"currentuser", "current_user", "session_user", "user"}


def _of_the_engine(engine: EngineAlone) -> list[list[str]]:
    return [line.split("\t") for line in engine.rows(NAMES_SQL).rstrip("\n").split("\n")]


def test_every_name_of_the_engine_has_a_verdict(engine: EngineAlone) -> None:
    listed = {(one.kind, one.name): one for one in verdicts.read()}
    known = {pair for pair in listed if pair[0] != "syntax"}
    found = {(kind, name) for kind, name, _ in _of_the_engine(engine)}
    assert len(found) > 1_900
    assert found - known == set(), "Run tools/engine_functions.py and judge what is new."
    assert known - found == set(), "Run tools/engine_functions.py: the engine has these no more."
    assert {one.verdict for one in listed.values()} == {"allowed", "refused"}
    assert all(one.reason for one in listed.values())
    taking = {name for _, name, takes in _of_the_engine(engine) if takes}
    assert verdicts.higher_order() == {name.lower() for name in taking}


def test_a_list_brought_up_to_date_keeps_verdicts_and_opens_what_is_new() -> None:
    known = [
        Verdict("function", "lower", "allowed", "String"),
        Verdict("function", "gone", "refused", "reads a file"),
        Verdict("syntax", "COLUMNS", "allowed", "resolved by the parser"),
    ]
    found = [("function", "arrayNew", "lambda"), ("function", "lower", "")]
    assert merged(found, known) == [
        Verdict("function", "arrayNew", "open", "no verdict yet", "lambda"),
        known[0],
        known[2],
    ]


def test_what_is_open_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = [*verdicts.read(), Verdict("function", "brandNew", "open", "no verdict yet")]
    monkeypatch.setattr(verdicts, "read", lambda: listed)
    caches = (verdicts.names, allowed_names.is_function, allowed_names.is_known)
    for each in caches:
        each.cache_clear()
    try:
        assert not allowed_names.is_function("brandnew")
        assert allowed_names.is_known("brandnew")
        with pytest.raises(QueryRefused):
            check("SELECT brandNew(1)", tables=TABLES, database=MINE)
    finally:
        monkeypatch.undo()
        for each in caches:
            each.cache_clear()


def test_no_two_verdicts_differ_by_case_alone() -> None:
    found: dict[tuple[bool, str], set[str]] = defaultdict(set)
    for one in verdicts.read():
        if one.kind != "combinator":
            found[one.kind == "table", one.name.lower()].add(one.verdict)
    assert [key for key, said in found.items() if len(said) > 1] == []


REFUSED = [one.name for one in verdicts.read() if one.verdict == "refused" and one.kind != "table"]


@pytest.mark.slow
def test_no_refused_function_can_be_called_in_any_way(guard: Guard) -> None:
    ways = (
        "SELECT {}(1, 2)",
        "SELECT `{}`(x) FROM flights",
        "SELECT * APPLY({}) FROM flights",
        "SELECT * APPLY {} FROM flights",
        "SELECT COLUMNS('x') APPLY(y -> {}(y)) FROM flights",
        "SELECT arrayMap({}, [1])",
        "SELECT arrayMap(({}), [1], [2])",
        "WITH x -> {}(x) AS f SELECT f(1)",
        "WITH x -> x AS {0} SELECT {0}(1)",
        "SELECT arrayReduce('{}', [1])",
        "SELECT {}If(1, 1)",
    )
    passed = []
    for name in REFUSED:
        for way in ways:
            for reader in (guard, lambda sql: check(sql, tables=TABLES, database=MINE)):
                try:
                    reader(way.format(name))
                except QueryRefused:
                    continue
                passed.append(way.format(name))
    passed = [sql for sql in passed if sql != "SELECT NullIf(1, 1)"]  # nullIf, not a combinator
    # IN is an operator between two values, which is what a lambda of that name still is.
    assert {sql for sql in passed if "nullIn" not in sql and "In(" not in sql} == set()


def test_no_refused_function_runs_by_its_bare_name(guard: Guard, engine: EngineAlone) -> None:
    ran = [name for name in REFUSED if not engine.run(f"SELECT `{name}`").error]
    assert ran
    for name in ran:
        if name.lower() in _OWN_NAME:
            continue
        with pytest.raises(QueryRefused):
            guard(f"SELECT `{name}`")


def test_no_refused_table_function_can_be_read(guard: Guard) -> None:
    refused = verdicts.names("table", "refused")
    assert len(refused) > 80
    for name in refused:
        for sql in (f"SELECT * FROM {name}('x')", f"SELECT 1 IN (SELECT * FROM `{name}`(x))"):
            with pytest.raises(QueryRefused):
                guard(sql)
