"""Row filters of a key: no text of a query gets round them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from analytics_api import row_filters as engine_filters
from tenants import filters
from tenants.filters import FilterRefused
from tenants.rest import authentication
from tenants.rights import Rights, RightsRefused
from tenants.services.keys import change_key, create_key
from tenants.warehouse import client
from tenants.warehouse.errors import StatementFailed

SQL_SCOPES = ("queries:run", "queries:sql")


class Held:
    """A key that sees ann's rows alone, and SQL by it."""

    def __init__(self, api: Any, **rights: Any) -> None:
        self.api = api
        self.database = api.tenant.warehouse.database
        given = {"row_filters": {"*": "who = 'ann'"}} | rights
        self.row, self.key = create_key(
            api.tenant, "held", rights=Rights(scopes=SQL_SCOPES, **given)
        )

    def sql(self, text: str, **parameters: Any) -> Any:
        return self.api.client.post(
            "/api/v1/sql",
            {"sql": text.format(db=self.database), "parameters": parameters},
            content_type="application/json",
            headers={"Authorization": f"Bearer {self.key}"},
        )


@pytest.fixture
def held(api: Any) -> Held:
    """Besides ``events``: one that FINAL fits, one without the column, a view, a rollup."""
    db = api.tenant.warehouse.database
    client.execute(
        [
            f"CREATE TABLE {db}.latest (n UInt32, who String) ENGINE=ReplacingMergeTree ORDER BY n",
            f"INSERT INTO {db}.latest VALUES (1, 'ann'), (2, 'bob')",
            f"INSERT INTO {db}.latest VALUES (1, 'bob'), (2, 'ann')",
            f"CREATE TABLE {db}.tags (n UInt32, tag String) ENGINE = MergeTree ORDER BY n",
            f"INSERT INTO {db}.tags VALUES (1, 'x'), (2, 'y')",
            f"CREATE VIEW {db}.seen AS SELECT n, who FROM {db}.events",
            f"CREATE TABLE {db}.totals (who String, c UInt64) ENGINE = MergeTree ORDER BY who",
            f"INSERT INTO {db}.totals SELECT who, 1 FROM {db}.events",
        ]
    )
    return Held(api)


#: Each would show bob, or a row of his (n = 2), if the filter could be got round.
ROUND = [
    "SELECT who, n FROM events",
    "SELECT who, n FROM {db}.events",
    "SELECT who, n FROM events AS e",
    "SELECT events.who FROM latest AS events",
    "SELECT e.who FROM latest AS events, events AS e",
    "SELECT who FROM latest FINAL",
    "SELECT who FROM seen",
    "SELECT who FROM totals",
    "SELECT 'ann' AS who, n FROM events WHERE n = 2",
    "SELECT n, 'ann' AS `who` FROM events AS e WHERE e.n = 2",
    "WITH 'ann' AS who SELECT n FROM events WHERE n = 2",
    "WITH events AS (SELECT * FROM events) SELECT who FROM events",
    "WITH x AS (SELECT * FROM events), y AS (SELECT * FROM x) SELECT who FROM y",
    "SELECT who FROM (SELECT * FROM (SELECT * FROM events))",
    "SELECT 'ann' UNION ALL SELECT who FROM events",
    "SELECT who FROM events INTERSECT SELECT who FROM events",
    "SELECT who FROM totals EXCEPT SELECT 'ann'",
    "SELECT b.who FROM events a RIGHT JOIN events b ON a.n = b.n",
    "SELECT b.who FROM numbers(5) a LEFT JOIN events b ON a.number = b.n",
    "SELECT b.who FROM numbers(5) a FULL JOIN events b ON a.number = b.n",
    "SELECT b.who FROM numbers(5) a, events b",
    "SELECT b.who FROM events a ASOF JOIN latest b ON a.who = b.who AND a.n >= b.n",
    "SELECT number AS n FROM numbers(5) WHERE number IN (SELECT n FROM events)",
    "SELECT number AS n FROM numbers(5) WHERE toUInt32(number) IN (SELECT n FROM {db}.events)",
    "SELECT number AS n FROM numbers(5) WHERE number GLOBAL IN (SELECT n FROM events)",
    "SELECT 1 WHERE 'bob' IN (SELECT who FROM events)",
    "SELECT 1 WHERE (2, 'bob') IN latest",
    "SELECT 1 WHERE in((2, 'bob'), {db}.latest)",
    "SELECT 1 WHERE exists(SELECT 1 FROM events WHERE who = 'bob')",
    "SELECT (SELECT groupArray(who) FROM events)",
    "SELECT groupArray(who) OVER () FROM events",
    "SELECT who, count() FROM events GROUP BY who WITH TOTALS",
    "SELECT who, count() FROM events GROUP BY ROLLUP(who)",
    "SELECT DISTINCT who FROM events",
    "SELECT arrayJoin([who]) FROM events",
    "SELECT who FROM events ARRAY JOIN [1, 2] AS x",
    "SELECT max(who), argMax(who, n = 2) FROM events",
    "SELECT * FROM events LIMIT 10 OFFSET 1",
    "SELECT who FROM events ORDER BY n LIMIT 1 BY who",
    "SELECT n FROM events WHERE n = 2 OR 1 = 1",
    "SELECT n FROM events WHERE 1) OR (1",
    "SELECT * EXCEPT (n) FROM events",
    "SELECT COLUMNS('who') FROM events",
    "SELECT e.who FROM events e JOIN (SELECT who FROM events) f ON 1 = 1",
    # What ClickHouse's own parser reads.
    "WITH x -> (SELECT groupArray(who) FROM events) AS f SELECT f(1)",
    "WITH x -> x IN (SELECT who FROM events) AS f SELECT 1 WHERE f('bob')",
    "WITH x -> concat(x, '!') AS f SELECT f(who) FROM events",
    "WITH e (a, b) AS (SELECT n, who FROM events) SELECT b FROM e",
    "WITH e AS MATERIALIZED (SELECT who FROM events) SELECT who FROM e",
    "WITH events (w) AS (SELECT who FROM events) SELECT w FROM events",
    "SELECT COLUMNS(who) APPLY(x -> concat(x, '!')) FROM events",
    "SELECT COLUMNS(who) APPLY(groupArray) FROM events",
    "SELECT e.COLUMNS('^w') FROM events AS e",
    "SELECT * APPLY(y -> (SELECT groupArray(who) FROM events)) FROM numbers(1)",
    "SELECT arrayMap(upper, groupArray(who)) = ['ANN', 'BOB', 'ANN'], groupArray(who) FROM events",
    "SELECT who FROM events ORDER BY n LIMIT 2 WITH TIES",
    "SELECT who FROM events ORDER BY n OFFSET 1 ROW FETCH FIRST 2 ROWS ONLY",
    "SELECT TOP 3 who FROM events",
    "SELECT formatRow('CSV', who, n) FROM events",
    "SELECT who FROM events ORDER BY who COLLATE 'en'",
    "SELECT n * 9 AS m, who FROM events ORDER BY m WITH FILL STEP 9 STALENESS 9 INTERPOLATE",
    "SELECT b.who FROM numbers(5) a LEFT JOIN events b ON a.number = b.n SETTINGS join_use_nulls=1",
    "SELECT 'ann' AS who, n FROM events WHERE n = 2 SETTINGS prefer_column_name_to_alias = 1",
    "SELECT who FROM latest SETTINGS final = 1",
    "SELECT who FROM events UNION SELECT who FROM events SETTINGS union_default_mode = 'ALL'",
    "SELECT groupArray(who) FROM events SETTINGS aggregate_functions_null_for_empty = 1",
    "SELECT who FROM events /* a /* b */ WHERE 0 */",
    "FROM events |> WHERE n > 0",
    "SELECT who FROM events AS e PASTE JOIN numbers(4) AS m",
    "SELECT 1 WHERE 'bob' = ANY (SELECT who FROM events)",
    "SELECT who FROM zeros(2) AS z, events AS e",
    # An alias of the table's name, which stands for the table on the right of IN.
    "WITH latest AS y SELECT 1 WHERE (2, 'bob') IN y",
    "WITH latest AS y, y AS z SELECT 1 WHERE (2, 'bob') IN z",
    "WITH identity(latest AS y) AS u SELECT 1 WHERE (2, 'bob') IN y",
    "WITH (latest AS y) IN (1) AS u SELECT 1 WHERE (2, 'bob') IN y",
    "SELECT 1 WHERE (2, 'bob') IN (latest AS y)",
]


def shown(answer: Any) -> bool:
    """Whether an answer has bob, or his row's number, in it."""
    if answer.status_code != 200:
        assert answer.status_code in (400, 422, 502), answer.content
        return False
    rows = answer.json()["data"]
    held_back = [row for row in rows if row.get("n") == 2 and row.get("who", "ann") == "ann"]
    return "bob" in str(rows) or bool(held_back) or any("1" in row for row in rows)


@pytest.mark.security
def test_no_query_shows_a_row_that_the_filter_holds_back(held: Held) -> None:
    free = Held(held.api, row_filters={})
    could = [sql for sql in ROUND if shown(free.sql(sql))]
    # Those that the guard or the engine refuse for everybody prove nothing of the filter.
    assert len(could) > 60, set(ROUND) - set(could)
    assert [sql for sql in ROUND if shown(held.sql(sql))] == []


#: ClickHouse reads the column `SELECT` and a table, sqlglot a SELECT without a FROM.
UNSEEN = "WITH (2, 'bob') AS `SELECT` SELECT 1 WHERE toUInt8(SELECT IN latest)"


@pytest.mark.security
def test_a_server_before_26_8_shows_none_either(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    _as_older(monkeypatch)
    free = Held(held.api, row_filters={})
    could = [sql for sql in (*ROUND, UNSEEN) if shown(free.sql(sql))]
    assert len(could) > 40, {*ROUND, UNSEEN} - set(could)
    assert UNSEEN in could
    assert [sql for sql in could if shown(held.sql(sql))] == []


def _as_older(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = client.rows

    def older(sql: str, *others: Any) -> list[dict[str, Any]]:
        if "parseQueryToJSON" in sql:
            raise StatementFailed(46, "Function parseQueryToJSON does not exist")
        return rows(sql, *others)

    monkeypatch.setattr(client, "rows", older)


@pytest.mark.security
def test_a_query_learns_nothing_of_held_back_rows_from_errors(held: Held) -> None:
    db, many, b = held.database, "numbers(200000)", "b" * 300
    client.execute(
        [
            f"CREATE TABLE {db}.wide (n UInt32, who String) ENGINE = MergeTree ORDER BY n",
            f"INSERT INTO {db}.wide SELECT number, if(number % 9, '{b}', 'ann') FROM {many}",
        ]
    )
    engine_filters.forget()
    for where in ("intDiv(1, n != 77777) = 1", "toUInt8(if(n = 77777, 'x', '1')) = 1"):
        free = Held(held.api, row_filters={})
        assert free.sql(f"SELECT max(n) FROM wide WHERE {where}").status_code == 422
        for sql in (
            f"SELECT count(), max(n) FROM wide WHERE {where}",
            f"SELECT n FROM wide WHERE n > 70000 AND {where} LIMIT 3",
            f"SELECT 1 FROM wide a JOIN wide b ON a.n = b.n WHERE {where.replace('n', 'a.n', 0)}",
            f"SELECT (SELECT count() FROM wide WHERE {where})",
        ):
            answer = held.sql(sql)
            refused = answer.status_code == 422 and answer.json()["code"] == "query_refused"
            assert answer.status_code == 200 or refused, (sql, answer.content)
        answer = held.sql(f"SELECT n FROM wide PREWHERE {where}")
        assert (answer.status_code, answer.json()["code"]) == (403, "row_filter")


def test_a_table_without_a_filter_is_not_read_unless_one_opens_it(held: Held) -> None:
    answer = held.sql("SELECT * FROM tags")
    assert (answer.status_code, answer.json()["code"]) == (403, "row_filter")
    assert "tags" not in answer.json()["detail"]
    joined = held.sql("SELECT tag FROM events e JOIN tags t ON t.n = e.n")
    assert joined.status_code == 403
    assert held.sql("SELECT * FROM events__quarantine").status_code == 403
    opened = Held(held.api, row_filters={"*": "who = 'ann'", "tags": "1"})
    assert opened.sql("SELECT tag FROM tags").json()["rows"] == 2
    only = Held(held.api, row_filters={"tags": "tag = 'y'"})
    assert only.sql("SELECT tag FROM tags").json()["data"] == [{"tag": "y"}]
    assert only.sql("SELECT n FROM events").status_code == 403


def test_a_published_query_is_held_too_and_in_every_format(held: Held) -> None:
    held.api.publish("all", "SELECT who, count() AS c FROM events GROUP BY who")
    headers = {"Authorization": f"Bearer {held.key}"}
    for form in ("json", "csv", "parquet", "arrow", "ndjson"):
        mine = held.api.client.get(f"/api/v1/queries/all?format={form}", headers=headers)
        assert mine.status_code == 200
        assert b"ann" in mine.content
        assert b"bob" not in mine.content
    assert b"bob" in held.api.get("/all").content


def test_a_changed_filter_holds_from_then_on(held: Held) -> None:
    assert "ann" in str(held.sql("SELECT who FROM events").json()["data"])
    change_key(held.row, Rights(scopes=SQL_SCOPES, row_filters={"events": "who = 'bob'"}))
    authentication.forget()
    assert held.sql("SELECT who FROM events").json()["data"] == [{"who": "bob"}]


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"events": "who = 'ann' AND"}, "Syntax"),
        ({"events": "1) OR (1"}, "brackets"),
        ({"events": "who IN (SELECT who FROM tags)"}, "SELECT"),
        ({"events": "who IN tags"}, "beyond the row"),
        ({"events": "nobody = 1"}, "lacks the columns"),
        ({"nowhere": "1"}, "no table"),
        ({"*": "nobody = 1"}, "No table has"),
        ({"events": "who"}, "not true or false"),
        ({"events": "count() > 1"}, "one row at a time"),
        ({"events": "who = {w:String}"}, "without {w:String}"),
        ({"events": "n = 1 -- x"}, "comments"),
        ({"events": "file('/etc/passwd') = ''"}, "not allowed"),
        ({"events": 7}, "must be a string"),
        ([], "row filters by table"),
    ],
)
def test_a_condition_that_is_none_is_refused_when_the_key_is_saved(
    given: Any, word: str, api: Any
) -> None:
    with pytest.raises(RightsRefused, match=word) as refused:
        create_key(api.tenant, "x", rights=Rights(row_filters=given))
    assert refused.value.field == "row_filters"


def test_without_a_checker_no_filter_is_taken(monkeypatch: Any, api: Any) -> None:
    monkeypatch.setattr("tenants.filters._checkers", [])
    with pytest.raises(FilterRefused, match="accepts none"):
        filters.read({"*": "1"})


@pytest.fixture(autouse=True)
def _forget(settings: Any) -> Callable[[], None]:
    engine_filters.forget()
    authentication.forget()
    return engine_filters.forget
