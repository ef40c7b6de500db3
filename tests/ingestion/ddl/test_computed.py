"""Computed columns: an expression over the others that is total, deterministic and well typed."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from ingestion.ddl import ColumnSpec, SpecError, TableSpec, check, computed, create, expression
from ingestion.ddl.expression_functions import ALLOWED, CONVERSIONS
from ingestion.ddl.expression_tokens import ExpressionProblem
from ingestion.landing import direct_insert
from tenants.warehouse.quoting import string

OWN = (
    ColumnSpec("email", "String"),
    ColumnSpec("time", "DateTime64(3)"),
    ColumnSpec("n", "UInt8", required=False, default="0"),
    ColumnSpec("note", "Nullable(String)", required=False),
    ColumnSpec("price", "Decimal(9, 2)", required=False, default="0"),
    ColumnSpec("trace", "String", required=False, default='""', metadata="header:trace"),
)


def with_expression(name: str, kind: str, text: str) -> ColumnSpec:
    return ColumnSpec(name, kind, expression=text)


COMPUTED = (
    with_expression("email_lower", "LowCardinality(String)", "lower(email)"),
    *OWN,
    with_expression("who", "UInt64", "sipHash64(concat('salt', email))"),
    with_expression("hour", "DateTime", "toStartOfHour(time)"),
    with_expression("size", "String", "multiIf(n > 200, 'large', n > 9, 'small', 'tiny')"),
    with_expression("twice", "UInt32", "n * 2 + 1"),
    with_expression("noted", "Bool", "note IS NOT NULL AND NOT empty(ifNull(note, ''))"),
    with_expression("cost", "Float64", "toFloat64(price)"),
    with_expression("root", "String", "extract(trace, '^([a-z]+)/')"),
    with_expression("is_ab", "UInt8", "email IN ('a', 'B') OR n = -1"),
)
READ = "email_lower, toString(hour), size, twice, noted, cost, root, is_ab"
MESSAGES = [
    b'{"email": "B", "time": "2026-12-01T10:59:00Z", "n": 255, "note": "x", "price": 1.5}',
    b'{"email": "C", "time": "2026-12-01T10:59:00Z", "n": 7.0}',
    b'{"email": 1, "time": "2026-12-01T10:59:00Z"}',
    b'{"email": "C", "time": "2026-12-01T10:59:00Z", "who": 7, "n": 300}',
]
EXPECTED = [
    ("b", "2026-12-01 10:00:00", "large", 511, True, 1.5, "ab", 1),
    ("c", "2026-12-01 10:00:00", "tiny", 15, False, 0.0, "", 0),
]


def test_a_column_is_computed_from_the_others_and_their_metadata(inbox: Any) -> None:
    inbox.make(TableSpec(inbox.database, "t", COMPUTED, ("who",)))
    metadata = [b'{"header:trace":"ab/1"}'] + [b'{"header:trace":null}'] * 3
    inbox.insert("t", MESSAGES, metadata=metadata)
    assert inbox.rows(f"SELECT {READ} FROM {inbox.database}.t ORDER BY _offset") == EXPECTED
    known = inbox.rows("SELECT sipHash64('saltB'), sipHash64('saltC')")[0]
    who = inbox.rows(f"SELECT who FROM {inbox.database}.t ORDER BY _offset")
    assert [one for (one,) in who] == [*known]
    found = inbox.rows(f"SELECT `column`, value FROM {inbox.database}.t__quarantine ORDER BY 1")
    assert found == [("email", "1"), ("n", "300")]


def test_a_table_without_an_expression_has_the_same_statements() -> None:
    plain = create(TableSpec("d", "t", OWN))
    assert not any("CAST(_v" in one for one in plain)


def test_two_signs_in_a_row_are_no_comment() -> None:
    assert expression.sql("n - --1", {"n": "UInt8"}, str) == "(n - (- -1))"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("now()", "now can't be used"),
        ("rand()", "rand can't be used"),
        ("dictGet('d', 'a', n)", "dictGet can't be used"),
        ("toUInt8(email)", "toUInt8 can't be used"),
        ("LOWER(email)", "Write lower"),
        ("(SELECT 1)", "There is no column 'SELECT'"),
        ("lower(email); DROP TABLE t", "can't be read from '; DROP"),
        ("lower(email) -- x", "There is no column 'x'"),
        ("lower(email) /* x */", "is missing at '*'"),
        ("`email`", "can't be read from"),
        ("email) AS x, (1", "is not expected there"),
        ("lower(email", ") is missing at its end"),
        ("lower()", "is missing at ')'"),
        ("mail", "There is no column 'mail'"),
        ("other", "There is no column 'other'"),
        ("price * 2", "Write toFloat64(price)"),
        ("time + 1", "for integers and floats alone"),
        ("n < time", "it can overflow"),
        ("toHour(time) * 60 + length(email)", None),
        ("toFloat64(email)", "takes the name of a column of numbers"),
        ("toDate(lower(email))", "takes the name of a column of dates or times"),
        ("substring(email, n)", "substring takes numbers"),
        ("match(email, note)", "match takes numbers, or a text"),
        ("upper(" * 20 + "email" + ")" * 20, "more than 12 deep"),
        ("n + " * 400 + "n", "up to 1,000 characters"),
        ("", None),
    ],
)
def test_what_can_fail_change_or_lead_elsewhere_is_refused(text: str, said: str | None) -> None:
    other = with_expression("other", "UInt64", "cityHash64(n)")
    spec = TableSpec("d", "t", (*OWN, other, with_expression("c", "String", text)))
    if said is None:
        check(spec)
        return
    with pytest.raises(SpecError) as caught:
        check(spec)
    (problem,) = caught.value.problems
    assert (problem.column, problem.field) == ("c", "expression")
    assert said in problem.message


def test_a_computed_column_reads_no_message() -> None:
    column = ColumnSpec("c", "String", "a.b", expression="email", default='""', required=False)
    with pytest.raises(SpecError, match="Remove its path and default"):
        check(TableSpec("d", "t", (*OWN, column)))
    with pytest.raises(SpecError, match="Every column is computed"):
        check(TableSpec("d", "t", (with_expression("c", "UInt8", "1"),)))


#: Values at the ends of each type.
EXTREMES = {
    "String": ["''", "'ü€'", "unhex('FF')", "'9223372036854775808'", "'http://a.b/?d=%'", "'%('"],
    "Nullable(String)": ["NULL", "'q('"],
    "FixedString(4)": ["'abcd'"],
    "Int64": ["-9223372036854775808", "9223372036854775807", "0"],
    "UInt64": ["18446744073709551615", "0"],
    "Float64": ["0", "nan", "-inf", "1e308"],
    "Nullable(Float32)": ["NULL", "inf"],
    "Bool": ["true", "false"],
    "Date": ["'1970-01-01'", "'2149-06-06'"],
    "DateTime('UTC')": ["0", "4294967295"],
    "UInt8": ["0", "255"],
    "DateTime64(9)": ["'1900-01-01 00:00:00'", "'2262-01-01 00:00:00'"],
    "DateTime64(3)": ["'2299-12-31 23:59:59.999'"],
    "UUID": ["'00000000-0000-0000-0000-000000000000'"],
    "Enum8('a' = 1, 'b' = -2)": ["'a'", "'b'"],
    "Array(Int64)": ["[]", "[-9223372036854775808]"],
    "Map(String, String)": ["map()", "map('a', 'b')"],
}
#: Of two columns only these types are tried, since there are so many pairs.
PAIRED = ("String", "Nullable(String)", "Int64", "Float64", "DateTime64(3)", "DateTime64(9)")
OF_ONE = ("{}(a)", "{}(a, 2)", "{}(a, -1)", "{}(a, 'x')", "{}(a, 2, 1)")
OPERATORS = ("a = b", "a < b", "a + b", "a / b", "if(a = b, a, b)", "multiIf(a = b, a, b)")
NAMES = sorted(ALLOWED | CONVERSIONS.keys())


def tried() -> Iterator[tuple[str, str, str]]:
    """An expression, and the types of its columns a and b."""
    alone = [shape.format(name) for name in NAMES for shape in OF_ONE]
    for kind, text in itertools.product(EXTREMES, [*alone, "-a", "NOT a", "a IN (1, 2)"]):
        yield text, kind, "UInt8"
    together = [f"{name}(a, b)" for name in NAMES]
    for first, second in itertools.product(PAIRED, PAIRED):
        for text in (*together, *OPERATORS):
            yield text, first, second


@pytest.mark.slow
def test_no_function_fails_for_a_row_once_it_was_accepted(engine: Any) -> None:
    """One that does would stop its batch, and with it the source, for good.

    All 10,000 take a minute. So each run tries others; none of all failed when this was written.
    """
    accepted = 0
    for text, first, second in random.sample(list(tried()), 4_000):
        column = with_expression("c", "String", text)
        columns = (ColumnSpec("a", first), ColumnSpec("b", second), column)
        try:
            engine.query(computed.type_query(columns, column))
        except (ExpressionProblem, DatabaseError):
            continue  # refused, as it should be
        accepted += 1
        rows = f"{extremes(first, 0)} CROSS JOIN {extremes(second, 1)}"
        engine.query(f"SELECT {computed.written(columns, column)} FROM {rows}")
    assert accepted > 500


def extremes(kind: str, place: int) -> str:
    """A subquery with each extreme of a type, as ``_v<place>``."""
    values = (f"materialize(CAST({value}, {string(kind)}))" for value in EXTREMES[kind])
    rows = " UNION ALL ".join(f"SELECT {value} AS _v{place}" for value in values)
    return f"({rows}) AS t{place}"


def test_past_the_views_a_row_is_the_same(inbox: Any) -> None:
    """As the grouped insert of small batches types them: by a query alone."""
    columns = (*OWN[:3], with_expression("who", "UInt64", "sipHash64(lower(email))"))
    inbox.make(TableSpec(inbox.database, "t", columns))
    assert "sipHash64(lower(_v0))" in direct_insert.ddl.quick_rows(columns, "m")
    assert "sipHash64(lower(_v0))" in direct_insert.ddl.typed_rows(columns, "m", frozenset())
