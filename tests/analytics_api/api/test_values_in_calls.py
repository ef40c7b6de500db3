"""What a call's values do: strictly typed, tried before a query is published, and blamed."""

from __future__ import annotations

import re
from typing import Any

import pytest

from analytics_api import blame
from analytics_api.api import problems
from analytics_api.asterisk import TECHNICAL
from analytics_api.guard import QueryRefused
from analytics_api.query_client import Account
from analytics_api.sentences import sentence
from analytics_api.services.saved_queries import check_query, place_of
from analytics_api.statement_trial import FailureVerdict, TriedStatement, verdict
from tenants.models import Scope
from tenants.services.keys import create_key
from tenants.warehouse.errors import StatementFailed, clean, name_of

ABOVE = "SELECT n FROM events WHERE n > {above:UInt32} ORDER BY n"


@pytest.fixture
def api(shared_api: Any) -> Any:
    return shared_api


def run_sql(api: Any, sql: str, body: bytes | None = None, **values: Any) -> Any:
    _, key = create_key(api.tenant, "sql", scopes=[Scope.QUERIES_SQL])
    return api.client.post(
        "/api/v1/sql",
        {"sql": sql, "parameters": values} if body is None else body,
        content_type="application/json",
        headers={"Authorization": f"Bearer {key}"},
    )


# --- Values keep what was sent ------------------------------------------------------------------


def test_numbers_of_a_body_keep_their_digits(api: Any) -> None:
    api.publish("echo", "SELECT toString({v:Decimal(76, 10)}) AS v")
    for digits in ("9007199254740993.11", "9" * 66 + ".0123456789"):
        answer = api.post("/echo", f'{{"v": {digits}}}'.encode())
        assert answer.json()["data"] == [{"v": digits}]
        sql = "SELECT toString({v:Decimal(76, 10)}) AS v"
        body = f'{{"sql": "{sql}", "parameters": {{"v": {digits}}}}}'
        assert run_sql(api, "", body.encode()).json()["data"] == [{"v": digits}]


def test_a_doubled_member_of_a_body_is_refused(api: Any) -> None:
    api.publish("above", ABOVE)
    answer = api.post("/above", b'{"above": 1, "above": 2}')
    assert (answer.status_code, answer.json()["code"]) == (400, "doubled_member")
    assert "member 'above' twice" in answer.json()["detail"]
    body = b'{"sql": "SELECT {m:Map(String, UInt8)} AS m", "parameters": {"m": {"a": 1, "a": 2}}}'
    assert run_sql(api, "", body).status_code == 400


@pytest.mark.parametrize("query", ["s=%ff%fe", "s=a%C3", "%ff=1", "s=\udcff"])
def test_an_address_that_is_not_utf8_is_refused(query: str, api: Any) -> None:
    api.publish("echo", "SELECT {s:String} AS s")
    answer = api.client.get(
        "/api/v1/queries/echo",
        QUERY_STRING=query.encode("utf-8", "surrogateescape").decode("latin-1"),
        headers={"Authorization": f"Bearer {api.key}"},
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "parameters")
    assert "UTF-8" in answer.json()["detail"]


def test_a_refusal_says_what_is_wrong_with_the_value(api: Any) -> None:
    api.publish("at", "SELECT {t:DateTime64(3, 'Europe/Zurich')} AS t")
    problem = api.get("/at?t=2026-03-29T02:30:00").json()["errors"][0]["message"]
    assert problem.startswith("t: expected a time as YYYY-MM-DD hh:mm:ss.fff")
    assert problem.endswith("clocks in Europe/Zurich skip that time.")
    problem = api.post("/at", b'{"t": 1700000000.12345}').json()["errors"][0]["message"]
    assert problem.endswith(
        "got 1700000000.12345: it has 5 fractional digits of a second, but only 3 fit."
    )


def test_a_time_without_a_zone_is_in_utc(api: Any) -> None:
    api.publish("at", "SELECT toUnixTimestamp({t:DateTime}) AS t")
    assert api.get("/at?t=2026-01-01T00:00:00").json()["data"] == [{"t": 1767225600}]


# --- Types ----------------------------------------------------------------------------------------


def test_tuples_are_arrays_and_lists_of_them_too(api: Any) -> None:
    api.publish("one", "SELECT {t:Tuple(UInt8, String)} AS t")
    assert api.post("/one", {"t": [1, "it's"]}).json()["data"] == [{"t": [1, "it's"]}]
    assert api.get("/one?t=[1,%22a%22]").json()["data"] == [{"t": [1, "a"]}]
    pairs = "SELECT n FROM events WHERE (n, who) IN {pairs:Array(Tuple(UInt32, String))} ORDER BY n"
    api.publish("pairs", pairs)
    wanted = [{"n": 1}, {"n": 2}]
    assert (
        api.post("/pairs", {"pairs": [[1, "ann"], [2, "bob"], [3, "bob"]]}).json()["data"] == wanted
    )
    assert api.get('/pairs?pairs=[1,"ann"]&pairs=[2,"bob"]').json()["data"] == wanted
    api.publish("named", "SELECT {t:Tuple(a UInt8, b Date)}.b AS b")
    named = {"t": {"b": "2026-01-31", "a": 1}}
    assert api.post("/named", named).json()["data"] == [{"b": "2026-01-31"}]


def test_a_nullable_parameter_may_be_left_out(api: Any) -> None:
    api.publish(
        "maybe",
        "SELECT n FROM events WHERE {n:Nullable(UInt32)} IS NULL OR n = {n:Nullable(UInt32)}",
    )
    assert len(api.get("/maybe").json()["data"]) == 4
    assert api.get("/maybe?n=2").json()["data"] == [{"n": 2}]
    assert api.get("").json()["queries"][0]["parameters"][0]["required"] is False


BY = (
    "SELECT {by:Identifier} AS value, count() AS c FROM events "
    "GROUP BY {by:Identifier} ORDER BY value"
)
ALLOWED = {"by": {"allowed": ["who", "n"], "default": "who"}}


def test_a_name_is_one_of_those_that_are_allowed(api: Any) -> None:
    api.publish("by", BY, parameters=ALLOWED)
    assert [row["value"] for row in api.get("/by").json()["data"]] == ["ann", "bob", 'ü"€']
    assert [row["value"] for row in api.get("/by?by=n").json()["data"]] == [1, 2, 3, 4]
    listed = api.get("").json()["queries"][0]["parameters"]
    assert listed == [
        {
            "name": "by",
            "type": "Identifier",
            "allowed": ["who", "n"],
            "default": "who",
            "required": False,
        }
    ]
    for name in ("price", "WHO", "who`", "events.who", "", "1", "n) FROM system.one --"):
        answer = api.post("/by", {"by": name})
        assert answer.status_code == 400, name
        assert answer.json()["errors"][0]["message"].startswith("by: expected one of 'who', 'n'")


def test_every_allowed_name_is_checked_before_it_is_published(api: Any) -> None:
    with pytest.raises(QueryRefused) as unknown:
        check_query(api.tenant, BY, {"by": {"allowed": ["who", "nothing"]}})
    assert "nothing" in unknown.value.message
    table = "SELECT count() AS c FROM {t:Identifier}"
    assert check_query(api.tenant, table, {"t": {"allowed": ["events"]}}).sql == table
    for names in (["events", "one"], ["events", "columns"]):
        with pytest.raises(QueryRefused):
            check_query(api.tenant, table, {"t": {"allowed": names}})
    with pytest.raises(QueryRefused):
        check_query(
            api.tenant,
            "SELECT * FROM {d:Identifier}.{t:Identifier}",
            {"d": {"allowed": ["system"]}, "t": {"allowed": ["one"]}},
        )


@pytest.mark.parametrize(
    "described",
    [
        {},
        {"by": {}},
        {"by": {"allowed": []}},
        {"by": {"allowed": ["a b"]}},
        {"by": {"allowed": ["who`, 1 FROM system.one --"]}},
        {"by": {"allowed": "who"}},
        {"by": {"allowed": [7]}},
        {"by": {"allowed": [f"c{n}" for n in range(51)]}},
        {"by": {"allowed": ["who"], "default": "n"}},
    ],
)
def test_a_name_needs_its_list(described: dict[str, Any], api: Any) -> None:
    with pytest.raises(QueryRefused) as refused:
        check_query(api.tenant, BY, described)
    assert refused.value.code == "parameter"


def test_what_is_no_name_has_no_list_of_allowed_ones(api: Any) -> None:
    with pytest.raises(QueryRefused) as refused:
        check_query(api.tenant, ABOVE, {"above": {"allowed": ["n"]}})
    assert refused.value.code == "parameter"


def test_sql_of_the_callers_own_may_have_names(api: Any) -> None:
    assert [row["value"] for row in run_sql(api, BY, by="n").json()["data"]] == [1, 2, 3, 4]
    for name in ("a b", "who`", 7, None):
        answer = run_sql(api, BY, by=name)
        assert (answer.status_code, answer.json()["errors"][0]["name"]) == (400, "by")
    assert run_sql(api, BY).status_code == 400
    assert run_sql(api, BY, by="nothing").json()["code"] == "query_refused"
    foreign = run_sql(api, "SELECT * FROM {d:Identifier}.{t:Identifier}", d="system", t="one")
    assert (foreign.status_code, foreign.json()["reason"]) == (422, "unknown_table")


@pytest.mark.parametrize(
    "sql", ["SELECT 1_000_000", "SELECT $$a$$", "SELECT x'41'", "SELECT 1 # c"]
)
def test_a_callers_own_statement_is_read_by_clickhouse(sql: str, api: Any) -> None:
    answer = run_sql(api, sql)
    assert answer.status_code == 200, answer.content


@pytest.mark.parametrize("terms", [300, 1_500])
def test_a_statement_that_is_nested_too_deeply_is_refused(terms: int, api: Any) -> None:
    answer = run_sql(api, f"SELECT {{c:Identifier}}{' + 1' * terms} AS s FROM events", c="n")
    assert (answer.status_code, answer.json()["code"]) == (422, "query_refused")
    assert "too deep" in answer.json()["detail"]


def test_semicolons_behind_a_statement_with_names_are_refused(api: Any) -> None:
    for end in (";;", "; ;", ";--c\n;"):
        answer = run_sql(api, f"SELECT 1 AS one FROM {{t:Identifier}}{end}", t="events")
        assert (answer.status_code, answer.json()["reason"]) == (422, "one_statement")
    assert run_sql(api, "SELECT 1 AS one FROM {t:Identifier};", t="events").status_code == 200


# --- A star -----------------------------------------------------------------------------------


def test_a_star_is_the_tables_own_columns(api: Any) -> None:
    own = ["n", "who", "price"]
    api.publish("all", "SELECT * FROM events ORDER BY n")
    assert list(api.get("/all").json()["data"][0]) == own
    assert [one["name"] for one in api.get("").json()["queries"][0]["columns"]] == own
    ad_hoc = run_sql(api, "SELECT e.* FROM events AS e WHERE _offset >= 0")
    assert list(ad_hoc.json()["data"][0]) == own
    named = run_sql(api, "SELECT *, _source, _ingested_at FROM events")
    assert list(named.json()["data"][0]) == [*own, "_source", "_ingested_at"]


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("SELECT * EXCEPT (n) FROM events", ["who", "price"]),
        ("SELECT * EXCEPT (n, _offset) FROM events", ["who", "price"]),
        ("SELECT * EXCEPT n FROM events", ["who", "price"]),
        ("SELECT * REPLACE (n + 1 AS n) FROM events", ["n", "who", "price"]),
        ("SELECT * FROM (SELECT *, _offset FROM events)", ["n", "who", "price", "_offset"]),
        ("SELECT n FROM (SELECT * FROM events) WHERE _offset >= 0", ["n"]),
        ("WITH events AS (SELECT * FROM events) SELECT * FROM events", ["n", "who", "price"]),
        ("WITH x AS (SELECT _batch, n FROM events) SELECT * FROM x", ["_batch", "n"]),
        ("SELECT * FROM events WHERE n IN (SELECT n FROM events)", ["n", "who", "price"]),
        ("SELECT a.* FROM events AS a JOIN events AS b ON a.n = b.n", ["n", "who", "price"]),
        ("SELECT DISTINCT * FROM events", ["n", "who", "price"]),
        ("SELECT * FROM events UNION ALL SELECT * FROM events", ["n", "who", "price"]),
        ("SELECT n * n AS n FROM events", ["n"]),
        ("SELECT count(*) AS c FROM events", ["c"]),
        ("SELECT * FROM numbers(1)", ["number"]),
        ("SELECT _offset FROM events__quarantine", ["_offset"]),
    ],
)
def test_stars_in_all_places(sql: str, columns: list[str], api: Any) -> None:
    assert [one["name"] for one in check_query(api.tenant, sql).columns] == columns


def test_a_quarantine_has_all_of_its_columns(api: Any) -> None:
    columns = check_query(api.tenant, "SELECT * FROM events__quarantine").columns
    assert set(TECHNICAL) | {"raw", "reason"} <= {one["name"] for one in columns}


# --- Tried with values ------------------------------------------------------------------------

DEPENDING = [
    ("SELECT n FROM events WHERE _ingested_at >= {f:String}", "f", "2000-01-01 00:00:00"),
    ("SELECT toDate({x:String}) AS d", "x", "2026-01-31"),
    ("SELECT toStartOfDay(_timestamp, {tz:String}) AS d FROM events", "tz", "Europe/Zurich"),
    ("SELECT date_trunc({unit:String}, _timestamp) AS d FROM events", "unit", "hour"),
    ("SELECT {x:String}::Date AS d", "x", "2026-01-31"),
]
INDEPENDENT = [
    ("SELECT topK({k:UInt8})(n) AS t FROM events", "k", 2),
    ("SELECT toStartOfInterval(_timestamp, toIntervalMinute({m:UInt32})) AS t FROM events", "m", 5),
    ("SELECT n % {d:UInt8} AS r FROM events", "d", 3),
    ("SELECT quantile({q:Float64})(n) AS r FROM events", "q", 0.9),
]


@pytest.mark.parametrize(("sql", "name", "value"), [*DEPENDING, *INDEPENDENT])
def test_sql_of_the_callers_own_is_checked_with_its_values(
    sql: str, name: str, value: Any, api: Any
) -> None:
    answer = run_sql(api, sql, **{name: value})
    assert answer.status_code == 200, answer.content


@pytest.mark.parametrize(("sql", "name", "value"), DEPENDING)
def test_a_query_is_published_with_an_example_or_a_default(
    sql: str, name: str, value: Any, api: Any
) -> None:
    with pytest.raises(QueryRefused) as refused:
        check_query(api.tenant, sql)
    assert refused.value.code == "example"
    assert f'"{name}": {{"example": …}}' in refused.value.message
    for member in ("example", "default"):
        checked = check_query(api.tenant, sql, {name: {member: value}})
        assert checked.parameters[0][member] == value
    api.publish("depending", sql, parameters={name: {"example": value}})
    assert api.post("/depending", {}).status_code == 400  # an example is no default
    assert api.post("/depending", {name: value}).status_code == 200


@pytest.mark.parametrize(("sql", "name", "value"), INDEPENDENT)
def test_no_example_is_asked_for_without_need(sql: str, name: str, value: Any, api: Any) -> None:
    assert check_query(api.tenant, sql).columns


def test_what_no_value_could_mend_is_said_plainly(api: Any) -> None:
    with pytest.raises(QueryRefused) as refused:
        check_query(api.tenant, "SELECT nothing FROM events WHERE n = {n:UInt8}")
    assert refused.value.code == "clickhouse_47"
    assert "example" not in refused.value.message


@pytest.mark.parametrize("member", ["default", "example"])
def test_a_default_or_example_that_the_query_does_not_take_is_refused(
    member: str, api: Any
) -> None:
    sql = "SELECT toStartOfDay(_timestamp, {tz:String}) AS d FROM events"
    with pytest.raises(QueryRefused) as refused:
        check_query(api.tenant, sql, {"tz": {member: "Mars/X"}})
    assert "Mars/X" in refused.value.message
    with pytest.raises(QueryRefused):
        check_query(api.tenant, sql, {"tz": {"default": "UTC", "example": "Mars/X"}})
    with pytest.raises(QueryRefused) as misfit:
        check_query(api.tenant, ABOVE, {"above": {member: "x"}})
    assert f"above: its {member} must be a whole number" in misfit.value.message


# --- Whose error it is ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "described", "values", "sentence"),
    [
        (DEPENDING[2][0], {"tz": {"default": "UTC"}}, {"tz": "Mars/X"}, "time zone Mars/X"),
        (DEPENDING[3][0], {"unit": {"example": "day"}}, {"unit": "eon"}, "eon doesn't look like"),
        (DEPENDING[1][0], {"x": {"example": "2026-01-01"}}, {"x": "no"}, "Cannot parse date"),
        (INDEPENDENT[3][0], {}, {"q": 2}, "out of range"),
        (INDEPENDENT[0][0], {}, {"k": 0}, "illegal"),
        (INDEPENDENT[2][0], {}, {"d": 0}, "Division by zero"),
        (
            "SELECT {a:UInt8} AS a, fromUnixTimestamp64Milli({n:Int64}, {tz:String}) AS t",
            {"tz": {"example": "UTC"}},
            {"a": 9, "n": 5, "tz": "Mars/X"},
            "time zone Mars/X",
        ),
    ],
)
def test_a_callers_bad_value_is_the_callers_error(
    sql: str, described: dict[str, Any], values: dict[str, Any], sentence: str, api: Any
) -> None:
    api.publish("bad", sql, parameters=described)
    answer = api.post("/bad", values)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "parameters"), problem
    (error,) = problem["errors"]
    assert error["name"] == list(values)[-1]
    assert sentence in error["message"]
    assert error["message"] in problem["detail"]
    for internal in ("DB::", "In scope", "while executing", "__table", "events", api.tenant.slug):
        assert internal not in answer.content.decode()


def test_a_callers_bad_value_in_sql_of_its_own_is_its_error(api: Any) -> None:
    answer = run_sql(api, DEPENDING[2][0], tz="Mars/X")
    assert (answer.status_code, answer.json()["reason"]) == (422, "clickhouse_36")
    assert "Mars/X" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("code", "message", "told"),
    [
        (
            6,
            "Cannot parse string 'mine' as UInt8: syntax error at begin of string. Note: there are",
            "Cannot parse string 'mine' as UInt8: syntax error at begin of string.",
        ),
        (
            6,
            "Cannot parse string 'ann' as UInt8: syntax error at begin of string. Note: there are",
            "Cannot parse string '…' as UInt8: syntax error at begin of string.",
        ),
        (
            6,
            "Cannot parse string 'a' or 'b' as UInt8: syntax error at position 1 (parsed just 'a')",
            "Cannot parse string '…' as UInt8: syntax error at position 1 (parsed just '…').",
        ),
        (376, "Cannot parse uuid it's. (CANNOT_PARSE_UUID)", "Cannot parse uuid it's."),
        (376, "Cannot parse uuid ann. (CANNOT_PARSE_UUID)", None),
        (36, "Cannot load time zone ann/mine. (BAD_ARGUMENTS)", None),
        (60, "Table t_acme.events does not exist. (UNKNOWN_TABLE)", None),
        (50, "Unknown data type family: t_acme. (UNKNOWN_TYPE)", None),
        (47, "Unknown expression identifier `n`. (UNKNOWN_IDENTIFIER)", None),
        (215, "Column `n` is not under aggregate function. In query SELECT n FROM events", None),
        (427, "cannot compile re2: ^ann(mine, error: missing ): ^ann(mine", None),
        (9_999, "What nobody has read yet", None),
        (376, f"Cannot parse uuid {'x' * 5_000}", None),
    ],
)
def test_a_sentence_quotes_nothing_but_the_callers_value(
    code: int, message: str, told: str | None
) -> None:
    values = ["mine", "it\\'s", "t_acme", "x" * 5_000]
    found = sentence(StatementFailed(code, message), values, "t_acme")
    assert found == (told or f"ClickHouse can't use this value (code {code}).")


def test_the_name_of_an_error_is_clickhouses_and_nothing_that_looks_like_it() -> None:
    text = (
        "Code: 36. DB::Exception: Cannot load time zone (SECRET): In scope SELECT 1. "
        "(BAD_ARGUMENTS) (version 26.9.2.1 (official build))"
    )
    failed = StatementFailed(*clean(text), name_of(text))
    assert sentence(failed, ["(", ")"], "t") == "ClickHouse can't use this value (BAD_ARGUMENTS)."


#: Queries whose own text ClickHouse quotes against the value "zz(": each with the code.
QUOTING = [
    ("match('usual', concat('^quoted', {s:String}))", 427),
    ("replaceRegexpAll('usual', concat('^quoted', {s:String}), '')", 36),
    ("toStartOfDay(_timestamp, concat('quoted/', {s:String}))", 36),
    ("toStartOfDay(_timestamp, concat((SELECT max(who) FROM events WHERE n < 4), {s:String}))", 36),
    ("toUInt8(concat('1quoted', {s:String}))", 6),
    ("toUUID(concat('quoted', {s:String}))", 376),
    ("toIPv4(concat('quoted', {s:String}))", 675),
    ("CAST(concat('quoted', {s:String}), 'Enum8(\\'usual\\' = 1)')", 691),
    ("printf(concat('quoted', {s:String}), 1)", 42),
    ("formatRow(concat('quoted', {s:String}), 1)", 73),
    ("base64Decode(concat('quoted', {s:String}))", 117),
]


@pytest.mark.parametrize(("expression", "code"), QUOTING)
def test_no_sentence_quotes_the_query_or_a_row(expression: str, code: int, api: Any) -> None:
    sql, bad = f"SELECT {expression} AS v FROM events", {"param_s": "zz("}
    failure = TriedStatement(place_of(api.tenant).account, sql, ()).failure(bad)
    assert failure is not None
    assert failure.code == code
    assert re.search("quoted|bob", failure.message), failure.message
    told = sentence(failure, bad.values(), api.tenant.warehouse.database)
    assert not re.search("quoted|bob", told)


def test_a_regular_expression_of_the_query_is_not_told(api: Any) -> None:
    sql = "SELECT n FROM events WHERE match('usual', concat('^quoted|', {s:String}))"
    api.publish("matching", sql)
    answer = api.post("/matching", {"s": "("})
    assert (answer.status_code, answer.json()["code"]) == (422, "parameters")
    assert answer.json()["errors"] == [
        {"name": "s", "message": "s: ClickHouse can't use this value (CANNOT_COMPILE_REGEXP)."}
    ]
    assert "quoted" not in answer.content.decode()


def test_a_row_is_not_quoted_to_the_caller(api: Any) -> None:
    sql = "SELECT toUInt8(replaceAll(who, 'n', {s:String})) AS v FROM events"
    api.publish("quoting", sql, parameters={"s": {"example": "7"}})
    answer = api.post("/quoting", {"s": "secretly"})
    assert (answer.status_code, answer.json()["code"]) == (422, "query_failed")
    assert "secretly" not in answer.content.decode()


def test_rows_that_do_not_suit_are_no_reason_to_publish_again(api: Any) -> None:
    api.publish("rows", "SELECT toUInt8(who) AS v FROM events")
    answer = api.get("/rows")
    assert (answer.status_code, answer.json()["code"]) == (422, "query_failed")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count() AS c FROM numbers({n:UInt64})",
        "SELECT sum(number) AS c FROM numbers({n:UInt64}) WHERE number % 3 = 1",
        "SELECT max(number) AS c FROM numbers_mt({n:UInt64})",
        "SELECT number FROM numbers({n:UInt64}) ORDER BY rand() LIMIT 1",
        "SELECT length(range({n:UInt64})) AS c",
        "SELECT length(repeat('ab', {n:UInt64})) AS c",
    ],
)
def test_a_limit_that_is_reached_is_called_a_limit(sql: str, api: Any) -> None:
    api.publish("many", sql)
    answers = [api.post("/many", {"n": 100_000_000_000}), run_sql(api, sql, n=100_000_000_000)]
    answers.append(run_sql(api, sql.replace("{n:UInt64}", "100000000000")))
    for answer in answers:
        assert answer.status_code == 200 or answer.json()["code"] == "limit", answer.content


@pytest.mark.parametrize("code", [158, 159, 164, 201, 202, 241])
@pytest.mark.parametrize("passing", [0, 1])
def test_a_busy_server_blames_neither_value_nor_query(
    code: int, passing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [StatementFailed(62, "first"), StatementFailed(62, "usual")][:passing]

    def columns(self: TriedStatement, bound: Any) -> Any:
        raise answers.pop(0) if answers else StatementFailed(code, "Not now")

    monkeypatch.setattr(TriedStatement, "columns", columns)
    tried = TriedStatement(Account("t_a", "t_a", ""), "SELECT {d:Date}", [])
    assert verdict(tried, {"param_d": "2026-01-01"}) == FailureVerdict()


def test_each_limit_with_a_problem_is_known_as_one() -> None:
    assert frozenset(problems._LIMITS) == blame.LIMITS
