"""The guard on a server before 26.8: sqlglot reads, and EXPLAIN AST says what ClickHouse reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from analytics_api import guarded
from analytics_api.guard import QueryRefused, check, explained
from analytics_api.guard.clickhouse_parser import UNKNOWN_FUNCTION, WRITE_SQL, Ask
from tenants.models import Tenant
from tenants.warehouse import client
from tenants.warehouse.errors import StatementFailed
from tests.security import attacks
from tests.security.cast import MINE, TABLES
from tests.security.engine_alone import EngineAlone, ask_as_older, ask_of

#: What ClickHouse takes for the column `SELECT` and a table, sqlglot for a SELECT without a FROM.
UNSEEN = "WITH 1 AS `SELECT` SELECT countIf(SELECT IN weather) FROM flights"


@pytest.fixture
def older(engine: EngineAlone) -> Ask:
    return ask_as_older(engine)


def test_it_is_asked_to_explain() -> None:
    said = []

    def old(sql: str, _: object) -> list[dict[str, str]]:
        said.append(sql)
        if "parseQueryToJSON" in sql:
            raise StatementFailed(UNKNOWN_FUNCTION, "Function does not exist")
        lines = [
            "SelectWithUnionQuery (children 1)",
            " ExpressionList",
            "  TableIdentifier flights",
        ]
        return [{"explain": line} for line in [*lines, *extra]]

    extra: list[str] = []
    sql = "SELECT x FROM flights -- all"
    assert check(sql, tables=TABLES, database=MINE, ask=old).sql == "SELECT x FROM flights"
    assert said[0] == WRITE_SQL
    assert said[-1] == "EXPLAIN AST SELECT x FROM flights"
    for line in ("  Function file", "  TableIdentifier t_aa.flights", "  Set", "  ?"):
        extra[:] = [line]
        with pytest.raises(QueryRefused):
            check(sql, tables=TABLES, database=MINE, ask=old)


def test_a_table_that_sqlglot_does_not_see_is_among_the_tables(older: Ask) -> None:
    assert check(UNSEEN, tables=TABLES, database=MINE).tables == {"flights"}
    assert check(UNSEEN, tables=TABLES, database=MINE, ask=older).tables == {"flights", "weather"}


@pytest.mark.parametrize(
    "sql", ["WITH weather AS y SELECT 1 IN y", "WITH identity(weather AS y) AS u SELECT 1 IN y"]
)
def test_an_alias_of_a_tables_name_is_the_table(sql: str, older: Ask, engine: EngineAlone) -> None:
    """On the right of IN, ClickHouse takes it for that."""
    for ask in (None, older, ask_of(engine)):
        assert "weather" in check(sql, tables=TABLES, database=MINE, ask=ask).tables


@pytest.mark.parametrize("unseen", ["t_aa.flights", "flights__inbox"])
def test_nor_is_one_of_anothers_read_so(
    unseen: str, older: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With sqlglot blind to all tables, ClickHouse's own reading refuses by itself."""
    nothing: frozenset[str] = frozenset()
    monkeypatch.setattr("analytics_api.guard.sqlglot_parser.tables_of", lambda *_, **__: nothing)
    for sql in (f"SELECT 1 IN {unseen}", f"SELECT in(1, {unseen})", f"SELECT 1 FROM {unseen}"):
        with pytest.raises(QueryRefused):
            check(sql, tables=TABLES, database=MINE, ask=older)


@pytest.mark.parametrize("sql", attacks.lines("legitimate"))
def test_an_honest_query_passes(sql: str, older: Ask) -> None:
    """With parameters, common table expressions and all."""
    apart = check(sql, tables=TABLES, database=MINE)
    guarded = check(sql, tables=TABLES, database=MINE, ask=older)
    assert guarded.sql == apart.sql
    assert guarded.tables == apart.tables


@pytest.mark.parametrize(
    "attack",
    [one for one in attacks.of("sql") if one.not_held_by != "guard"],
    ids=lambda one: one.what,
)
def test_an_attack_is_refused(attack: attacks.Attack, older: Ask) -> None:
    with pytest.raises(QueryRefused):
        check(attack.text, tables=TABLES, database=MINE, ask=older)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * APPLY(x -> x + 1) FROM flights",
        "SELECT * APPLY x -> x + 1 FROM flights",
        "SELECT * APPLY((x) -> x IN weather) FROM flights",
    ],
)
def test_a_lambda_of_apply_is_refused_which_explain_does_not_show(sql: str) -> None:
    with pytest.raises(QueryRefused, match="APPLY takes a function's name"):
        explained.check_applied(sql)
    explained.check_applied("SELECT * APPLY(toString), arrayMap(x -> x, [1]) FROM flights")


def test_a_name_has_no_line_break_with_which_it_would_be_two_lines(older: Ask) -> None:
    with pytest.raises(QueryRefused) as refused:
        check("SELECT `x\n  Identifier y` IN weather", tables=TABLES, database=MINE, ask=older)
    assert refused.value.code == "quote"


@pytest.mark.parametrize("sql", ["SELECT map(1 IN flights)", "SELECT * FROM values()"])
def test_what_sqlglot_fails_at_is_refused(sql: str, older: Ask) -> None:
    """It raised IndexError at these."""
    with pytest.raises(QueryRefused) as refused:
        check(sql, tables=TABLES, database=MINE, ask=older)
    assert refused.value.code == "syntax"


@pytest.mark.parametrize(
    "expression",
    [
        "throwIf(1)",
        "toUInt8('x')",
        "intDiv(1, 0)",
        "no_function(1)",
        "(SELECT throwIf(1))",
        "1 IN (SELECT throwIf(1))",
        "(SELECT max(x) FROM no_database.no_table)",
        "length(range(1000000000000))",
        "(SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sqrt(number)))",
    ],
)
def test_explain_looks_nothing_up_and_calls_nothing(expression: str, engine: EngineAlone) -> None:
    """It is asked as a user with all rights."""
    assert engine.run(f"SELECT {expression} SETTINGS max_execution_time = 1").error
    outcome = engine.run(f"EXPLAIN AST SELECT {expression}")
    assert not outcome.error
    assert outcome.result.startswith("SelectWithUnionQuery")


@pytest.mark.security
def test_what_the_guard_asks_may_change_nothing(
    tenant_factory: Callable[..., Tenant], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with readonly, which no text can lift, and a limit of time."""
    database = tenant_factory("acme").warehouse.database
    asked: list[tuple[str, Any]] = []
    query = client.admin().query

    def noted(sql: str, **given: Any) -> Any:
        asked.append((sql, given.get("settings")))
        if "parseQueryToJSON" in sql:
            raise DatabaseError("Code: 46. DB::Exception: Function does not exist")
        return query(sql, **given)

    with monkeypatch.context() as patch:
        patch.setattr(client.admin(), "query", noted)
        guarded.guard_query(database, "SELECT {a:UInt8} AS a")
    (explained_,) = [settings for sql, settings in asked if sql.startswith("EXPLAIN AST ")]
    assert explained_ == client.READ_ONLY
    for statement in (
        f"CREATE TABLE {database}.made (a UInt8) ENGINE = Memory",
        "SELECT 1 SETTINGS readonly = 0",
    ):
        with pytest.raises(StatementFailed) as refused:
            client.read_only_rows(statement)
        assert refused.value.code == 164
