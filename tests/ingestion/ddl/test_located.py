"""A value in an array is typed, or refused, as it is elsewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from cases import ALL_FITS, ALL_MISFITS, column
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from ingestion.ddl import ColumnSpec, SpecError, TableSpec, check, parse_view, quick_view
from ingestion.ddl.spec import INSERT_SETTINGS, STATEMENT_SETTINGS
from ingestion.ddl.types import UnknownType, parse
from tenants.warehouse.quoting import string
from tests.ingestion.typing.typing_messages import messages as generated

OPTIONS = {
    **{name: value for name, value in INSERT_SETTINGS.items() if name.startswith("input_format_")},
    **STATEMENT_SETTINGS,
}
#: Messages in one statement.
MOST = 200


def texts(kind: str) -> list[str]:
    return [
        *ALL_FITS.get(kind, {}),
        *(one for some in ALL_MISFITS.get(kind, {}).values() for one in some),
    ]


TYPES = sorted({*ALL_FITS, *ALL_MISFITS})


def source(messages: Sequence[str]) -> str:
    """Messages as the views get them, in order."""
    origin = ", ".join(
        f"'' AS {name}" for name in (*parse_view.ORIGIN, "_key") if name != "_offset"
    )
    listed = ", ".join(string(one) for one in messages)
    rows = f"arrayJoin(arrayZip(range({len(messages)}), [{listed}]))"
    return f"(SELECT {origin}, one.1 AS _offset, one.2 AS raw FROM (SELECT {rows} AS one))"


def typed(engine: Any, spec: ColumnSpec, messages: Sequence[str]) -> list[tuple[Any, ...]]:
    """Value as text, reason, column, expected, and whether the quarantine shows a value.

    The quick form must give the same value, or none.
    """
    found: list[tuple[Any, ...]] = []
    table = TableSpec("d", "t", (spec,))
    for start in range(0, len(messages), MOST):
        asked = source(messages[start : start + MOST])
        value = "toString(tuple(_v0))"
        long = parse_view.select(parse_view.columns(table), asked)
        outcome = f"if(_reason = '', {value}, '') AS v, _reason, _column, _expected, _value"
        rows = engine.query(f"SELECT {outcome} FROM ({long}) ORDER BY _offset", settings=OPTIONS)
        same = f"if(_quick, {value}, ''), _quick"
        quick = f"SELECT {same} FROM ({quick_view.select(table, asked)}) ORDER BY _offset"
        usual = engine.query(quick, settings=OPTIONS).result_rows
        for message, row, (told, fits) in zip(
            messages[start:], rows.result_rows, usual, strict=False
        ):
            assert not fits or row[:2] == (told, ""), message
        # A message that is no JSON is shown whole; of a number's digits there are two true forms.
        found += [(*row[:4], bool(row[4])) for row in rows.result_rows]
    assert len(found) == len(messages)
    return found


#: Numbers that the engine writes in another form when it copies JSON.
REWRITTEN = ["1e20", "-1.5E+20", "10e18", "1.0", "1e21", "0.5e1", '"1e20"']


@pytest.mark.slow
@pytest.mark.parametrize("kind", TYPES)
def test_an_element_s_value_is_typed_as_that_of_a_key(kind: str, engine: Any) -> None:
    given = [*texts(kind), *REWRITTEN]
    element = column("c", kind, path="$.l[1].v")
    in_list = [f'{{"l": [{{"v": 1e-400}}, {{"v": {one}, "v": 7}}]}}' for one in given]
    plain = [f'{{"v": {one}}}' for one in given]
    wanted = typed(engine, column("c", kind, path="v"), plain)
    assert typed(engine, element, in_list) == wanted
    default = {"A": "[]", "M": "{}"}.get(kind[0])
    options: dict[str, Any] = {}
    if default or parse(element.type).is_nullable:
        options = {"required": False, "default": default}
        wanted = typed(engine, column("c", kind, path="v", **options), plain)
    deep = column("c", kind, path="$['a.b'].l[0][2]", **options)
    in_deep = [f'{{"a.b": {{"l": [["\\u0001", null, {one}]]}}}}' for one in given]
    assert typed(engine, deep, in_deep) == wanted


@pytest.mark.slow
@pytest.mark.parametrize("kind", TYPES)
def test_the_values_of_all_elements_are_typed_as_an_array_of_them(kind: str, engine: Any) -> None:
    of_type, *form = kind.split(" in the format ")
    try:
        parse(f"Array({of_type})")
    except UnknownType:
        pytest.skip("no type of an element")
    if form == ["json"]:
        pytest.skip("no format of an element")
    # A driver shows bytes that are no text in another way.
    given = texts(kind) if form == ["base64"] else [*texts(kind), *REWRITTEN]
    pairs = [(one, given[number - 1]) for number, one in enumerate(given)]
    all_of = " in the format ".join([f"Array({of_type})", *form])
    same_as_array(engine, all_of, [*pairs, *((one,) for one in given), ()])


def same_as_array(engine: Any, kind: str, rows: Sequence[tuple[str, ...]]) -> None:
    """What lands is the array of what each value lands as in a column of its own."""
    of_type, *form = kind.split(" in the format ")
    inner = " in the format ".join([str(parse(of_type).inner), *form])
    alone = sorted({one for row in rows for one in row})
    of_one = typed(engine, column("c", inner, path="v"), [f'{{"v": {one}}}' for one in alone])
    outcome = dict(zip(alone, of_one, strict=True))
    listed = [", ".join(f'{{"v": {one}, "v": 7}}' for one in row) for row in rows]
    each = typed(
        engine, column("c", kind, path="$['l.l'][*].v"), [f'{{"l.l": [{one}]}}' for one in listed]
    )
    for row, found in zip(rows, each, strict=True):
        reasons = [outcome[one][1] for one in row]
        if not any(reasons):
            inside = ",".join(outcome[one][0][1:-1] for one in row)
            assert found[:2] == (f"([{inside}])", ""), row
        elif "invalid_json" in reasons:
            assert found[1] == "invalid_json", row
        else:
            first = next(filter(None, reasons))
            wanted = "missing" if first == "missing" else "invalid_value"
            assert found[1:] == (wanted, "c", kind, True), row


@pytest.mark.slow
def test_any_values_in_an_array_are_typed_as_elsewhere(engine: Any) -> None:
    kinds = [
        *("Int64", "UInt256", "Float64", "Float32", "Decimal(38, 10)", "Decimal(9, 2)", "String"),
        *("DateTime64(3)", "DateTime", "Bool", "Nullable(Int128)", "Nullable(String)"),
    ]
    found: dict[int, list[str]] = {number: [] for number in range(len(kinds))}

    @seed(4)
    @settings(
        max_examples=1_000, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(generated([f"Nullable({parse(one).bare})" for one in kinds]), st.none())
    def collect(tokens: dict[int, str], _: None) -> None:
        for number, token in tokens.items():
            if not any("\ud800" <= sign <= "\udfff" for sign in token):
                found[number].append(token)

    collect()
    for number, kind in enumerate(kinds):
        given_ = found[number]
        plain = typed(engine, ColumnSpec("c", kind, "v"), [f'{{"v": {one}}}' for one in given_])
        column = ColumnSpec("c", kind, "$.l[1].v")
        assert typed(engine, column, [f'{{"l": [0, {{"v": {one}}}]}}' for one in given_]) == plain
        same_as_array(engine, f"Array({kind})", [(one,) for one in given_])
    assert sum(map(len, found.values())) > 1_000


INDEX = {
    '{"items": [{"sku": "a"}]} x': (
        *(None, "invalid_json", ""),
        '{"items": [{"sku": "a"}]} x',
    ),
    '{"items": [{"sku": "a"}, {"sku": 7}]}': ("a", "", "", ""),
    '{"items": [{"sku": null}]}': (None, "", "", ""),
    '{"items": [{}]}': (None, "", "", ""),
    '{"items": [null]}': (None, "", "", ""),
    '{"items": []}': (None, "", "", ""),
    '{"items": null}': (None, "", "", ""),
    "{}": (None, "", "", ""),
    '{"items": [], "items": [{"sku": "b"}]}': (None, "", "", ""),
    '{"items": {"x": {"sku": "a"}}}': (None, "wrong_type", "items", '{"x":{"sku":"a"}}'),
    '{"items": {}}': (None, "wrong_type", "items", "{}"),
    '{"items": "a"}': (None, "wrong_type", "items", '"a"'),
    '{"items": [["a"]]}': (None, "wrong_type", "$.items[0]", '["a"]'),
    '{"items": [7]}': (None, "wrong_type", "$.items[0]", "7"),
    '{"items": [{"sku": 7}]}': (None, "wrong_type", "c", "7"),
    '{"items": [{"sku": "a"}': (None, "invalid_json", "", '{"items": [{"sku": "a"}'),
    '[{"items": [{"sku": "a"}]}]': (None, "not_an_object", "", '[{"items": [{"sku": "a"}]}]'),
}
EACH = {
    '{"items": [{"sku": "a"}]} x': (
        *([], "invalid_json", ""),
        '{"items": [{"sku": "a"}]} x',
    ),
    '{"items": [{"sku": "a"}, {"sku": "b", "sku": 7}]}': (["a", "b"], "", "", ""),
    '{"items": []}': ([], "", "", ""),
    '{"items": null}': (["-"], "", "", ""),
    "{}": (["-"], "", "", ""),
    '{"items": [{"sku": "a"}, {}]}': ([], "missing", "c", "$.items[1].sku"),
    '{"items": [{"sku": "a"}, {"sku": null}]}': ([], "missing", "c", "$.items[1].sku"),
    '{"items": [null, {"sku": "a"}]}': ([], "missing", "c", "$.items[0].sku"),
    '{"items": [{"sku": "a"}, {"sku": 7}]}': ([], "invalid_value", "c", "$.items[1].sku: 7"),
    '{"items": [{"sku": ["a"]}]}': ([], "invalid_value", "c", '$.items[0].sku: ["a"]'),
    '{"items": [{"sku": "a"}, 7]}': ([], "wrong_type", "$.items[*]", "$.items[1]: 7"),
    '{"items": [["a"]]}': ([], "wrong_type", "$.items[*]", '$.items[0]: ["a"]'),
    '{"items": {"sku": "a"}}': ([], "wrong_type", "items", '{"sku":"a"}'),
    '{"items": {"x": {"sku": "a"}}}': ([], "wrong_type", "items", '{"x":{"sku":"a"}}'),
    '{"items": "a"}': ([], "wrong_type", "items", '"a"'),
    '{"items": [{"sku": "a"}': ([], "invalid_json", "", '{"items": [{"sku": "a"}'),
    '{"items": [{"sku": "a"}, {"sku": "\\ud800"}]}': (
        *([], "invalid_json", ""),
        '{"items": [{"sku": "a"}, {"sku": "\\ud800"}]}',
    ),
}
NULLABLE = {
    '{"items": [{"sku": "a"}, {}, null, {"sku": null}]}': (["a", None, None, None], "", "", ""),
    '{"items": [{"sku": "a"}, []]}': ([], "wrong_type", "$.items[*]", "$.items[1]: []"),
}


@pytest.mark.parametrize(
    ("kind", "path", "default", "cases"),
    [
        ("Nullable(String)", "$.items[0].sku", None, INDEX),
        ("Array(String)", "$.items[*].sku", '["-"]', EACH),
        ("Array(Nullable(String))", "$.items[*].sku", '["-"]', EACH | NULLABLE),
    ],
)
def test_what_is_absent_or_of_another_kind_above_a_value_in_an_array(
    kind: str, path: str, default: str | None, cases: dict[str, tuple[Any, ...]], inbox: Any
) -> None:
    if "Nullable" in kind:
        cases = {text: one for text, one in cases.items() if one[1] != "missing"}
    column = ColumnSpec("c", kind, path, required=False, default=default)
    inbox.make(TableSpec(inbox.database, "t", (column,)))
    inbox.insert("t", [one.encode() for one in cases])
    landed = dict(inbox.rows(f"SELECT _offset, c FROM {inbox.database}.t"))
    misfits = {
        offset: told
        for offset, *told in inbox.rows(
            f"SELECT _offset, reason, `column`, value FROM {inbox.database}.t__quarantine"
        )
    }
    for offset, (message, (value, *told)) in enumerate(cases.items()):
        if told[0]:
            assert (misfits.get(offset), offset in landed) == (told, False), message
        else:
            assert (landed.get(offset, "nothing"), offset in misfits) == (value, False), message


def test_a_required_column_takes_no_absent_array_and_no_short_one(inbox: Any) -> None:
    columns = (ColumnSpec("n", "Array(UInt8)", "$.l[*].n"), ColumnSpec("m", "UInt8", "$.k[1]"))
    inbox.make(TableSpec(inbox.database, "t", columns))
    good = b'{"l": [{"n": 1}], "k": [1, 2]}'
    bad = [b"{}", b'{"l": null, "k": [1, 2]}', b'{"l": [], "k": [1]}', b'{"l": []}']
    inbox.insert("t", [good, b'{"l": [], "k": [1, 2]}', *bad])
    assert inbox.rows(f"SELECT n, m FROM {inbox.database}.t ORDER BY _offset") == [
        ([1], 2),
        ([], 2),
    ]
    found = inbox.rows(
        f"SELECT reason, `column`, value FROM {inbox.database}.t__quarantine ORDER BY _offset"
    )
    assert found == [
        ("missing", "n", ""),
        ("missing", "n", ""),
        ("missing", "m", ""),
        ("missing", "m", ""),
    ]


def test_orders_of_items_and_keys_that_no_tuple_has(inbox: Any) -> None:
    columns = (
        ColumnSpec("first", "Array(Nullable(Decimal(38, 20)))", "$.orders[*].items[0].price"),
        ColumnSpec("all", "Array(Array(UInt64))", "$.orders[*].numbers"),
        ColumnSpec("tags", "Array(String)", "$.tags[*]"),
        ColumnSpec("empty", "Int128", "$['']"),
        ColumnSpec("null", "String", "$.a.null"),
        ColumnSpec("beside", "String", "a.b"),
    )
    inbox.make(TableSpec(inbox.database, "t", columns))
    message = {
        "orders": [
            {"items": [{"price": "P"}, {"price": 2}], "numbers": [1 << 63]},
            {"items": [], "numbers": []},
        ],
        "tags": ["#1", "x#", "12345678901234567890123"],
        "": 1 << 100,
        "a": {"null": "n", "b": "b"},
    }
    exact = json.dumps(message).replace('"P"', "0.10000000000000000001")
    wrong = exact.replace('"items": []', '"items": {"x": {"price": 3}}')
    inbox.insert("t", [exact.encode(), wrong.encode()])
    shown = "toString(first), all, tags, toString(empty), `null`, beside"
    assert inbox.rows(f"SELECT {shown} FROM {inbox.database}.t") == [
        (
            "[0.10000000000000000001,NULL]",
            [[1 << 63], []],
            message["tags"],
            str(1 << 100),
            "n",
            "b",
        )
    ]
    found = inbox.rows(f"SELECT reason, `column`, value FROM {inbox.database}.t__quarantine")
    place = '$.orders[1].items: {"x":{"price":3}}'
    assert found == [("wrong_type", "$.orders[*].items", place)]


def test_only_an_array_has_a_value_of_each_element() -> None:
    with pytest.raises(SpecError, match=r"Use Array\(String\) or, for one element, its index"):
        check(TableSpec("d", "t", (ColumnSpec("c", "String", "$.items[*].sku"),)))
