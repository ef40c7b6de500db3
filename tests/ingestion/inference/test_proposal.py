"""What is proposed for messages, and that all of their objects land by it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingestion.inference.errors import NothingToInfer
from ingestion.inference.proposal import COLUMNS, Proposal, propose
from ingestion.inference.sample import MESSAGES, of_messages
from ingestion.inference.typing_trial import misfits

pytestmark = pytest.mark.usefixtures("clickhouse_server")


def proposed(*messages: Any) -> Proposal:
    """The proposal for messages, each a value or its bytes; all objects land by it."""
    sent = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in messages]
    proposal = propose(of_messages(sent))
    unfit = misfits(sent[:MESSAGES], tuple(column.spec for column in proposal.columns))
    assert [one for one in unfit if one.column] == []
    assert len(unfit) == sum(proposal.others.values())
    return proposal


def types(proposal: Proposal) -> dict[str, str]:
    return {column.spec.name: column.spec.expected for column in proposal.columns}


def why(proposal: Proposal) -> dict[str, str]:
    return {one.path: one.why for one in proposal.left_out}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([True, False], "Bool"),
        ([1, -5], "Int64"),
        ([1, 2**63], "UInt64"),
        ([-1, 2**63], "Int128"),
        ([2**127], "UInt128"),
        ([2**300, 1], "Float64"),
        ([1, 2.5], "Float64"),
        (["a", "b"], "String"),
        (["ok", "bad"] * 10, "LowCardinality(String)"),
        (["61f0c404-5cb3-11e7-907b-a6006ad3dba0"], "UUID"),
        (["10.0.0.1", "192.168.0.7"], "IPv4"),
        (["2001:db8::1"], "IPv6"),
        (["2026-01-31"], "Date"),
        (["1950-01-31"], "Date32"),
        (["2026-01-31", "2026-02-30"], "String"),
        (["2026-01-31T10:00:00Z"], "DateTime64(3, 'UTC')"),
        (["2026-01-31 10:00:00.123456+02:00"], "DateTime64(6, 'UTC')"),
        (["2012/01/01"], "Date32 in the format %Y/%m/%d"),
        (["Jan 1 2000"], "Date32 in the format %b %d %Y"),
        (["31.01.2026 10:00"], "DateTime64(3, 'UTC') in the format %d.%m.%Y %H:%M"),
        (["12/31/1999"], "Date32 in the format %m/%d/%Y"),
        (["01/02/1999"], "String"),
        (["true", "false"], "Bool in the format true/false"),
        (["yes", "no"], "Bool in the format yes/no"),
        (["7", "-12"], "Int64"),
        (["007", "12"], "String"),
        (["1.50", "2"], "Decimal(38, 4)"),
        ([[1, 2], []], "Array(Int64)"),
        ([[1, None]], "Array(Nullable(Int64))"),
        ([[], []], "Array(String)"),
        ([["2012/01/01"]], "Array(Date32) in the format %Y/%m/%d"),
        ([[[1], [2.5]]], "Array(Array(Float64))"),
        (
            [[{"sku": "a", "price": 1.5}, {"sku": "b", "price": 2, "note": None}], []],
            "Array(Tuple(sku String, price Float64))",
        ),
        (
            [[{"sku": "a", "list price": 1}, {"list price": 2}]],
            "Array(Tuple(sku Nullable(String), `list price` Int64))",
        ),
    ],
)
def test_the_closest_type_that_all_values_fit(values: list[Any], expected: str) -> None:
    assert types(proposed(*({"v": value} for value in values))) == {"v": expected}


@pytest.mark.parametrize(
    ("number", "form"),
    [
        (1_700_000_000, "DateTime64(3, 'UTC') in the format s"),
        (1_700_000_000_123, "DateTime64(3, 'UTC') in the format ms"),
        (1_700_000_000_123_456, "DateTime64(6, 'UTC') in the format us"),
        (1_700_000_000_123_456_789, "DateTime64(9, 'UTC') in the format ns"),
    ],
)
def test_a_number_is_a_time_by_its_name_and_its_size(number: int, form: str) -> None:
    names = ("ts", "createdAt", "time_ms")
    proposal = proposed(dict.fromkeys((*names, "price", "format"), number))
    assert types(proposal) == dict.fromkeys(names, form) | {"price": "Int64", "format": "Int64"}


def test_texts_that_could_be_dates_in_two_ways_stay_texts_and_are_noted() -> None:
    (column,) = proposed({"day": "01/02/1999"}).columns
    assert column.note == "%m/%d/%Y and %d/%m/%Y both fit. Set the format."


def test_objects_are_flattened_and_their_columns_optional_if_they_are() -> None:
    proposal = proposed({"user": {"name": "a", "geo": {"lat": 1.5}}}, {"user": None}, {})
    paths = {column.spec.name: column.spec.path for column in proposal.columns}
    assert paths == {"user_name": "user.name", "user_geo_lat": "user.geo.lat"}
    assert {column.spec.type for column in proposal.columns} == {
        "Nullable(String)",
        "Nullable(Float64)",
    }
    assert not any(column.spec.required for column in proposal.columns)


def test_keys_that_no_column_may_be_called_by_keep_their_path() -> None:
    proposal = proposed({"a.b": 1, "имя": "x", "": 2, "_id": 3, "a": {"b": 4}, "é'\"": 5})
    assert {column.spec.name: column.spec.path for column in proposal.columns} == {
        "a_b": "$['a.b']",
        "field": "имя",
        "id": "_id",
        "a_b_2": "a.b",
        "e": "é'\"",
        "field_2": "$['']",
    }


def test_what_no_type_takes_is_left_out_and_lands_all_the_same() -> None:
    proposal = proposed({"v": 1, "n": None, "ok": 1}, {"v": "a", "ok": 2}, {"v": {"a": 1}, "ok": 3})
    assert types(proposal) == {"ok": "Int64"}
    assert why(proposal) == {
        "v": "Its values are of several kinds: integer, object, text.",
        "n": "It is null in every message of the sample.",
    }


def test_an_object_whose_keys_are_data_is_a_map() -> None:
    messages = [{"scores": {f"user-{n}-{m}": n for m in range(3)}} for n in range(20)]
    assert types(proposed(*messages)) == {"scores": "Map(String, Int64)"}


def test_a_wide_sample_has_so_many_columns_and_names_the_rest() -> None:
    wide = {f"f{place:03}": place for place in range(COLUMNS + 5)}
    proposal = proposed({**wide, "f000": None}, wide)
    assert len(proposal.columns) == COLUMNS
    assert len(proposal.left_out) == 5


def test_messages_that_are_no_objects_are_counted() -> None:
    proposal = proposed({"a": 1}, b"[1]", b"{", b'{"a": "\xff"}', b"7", b'{"a": NaN}')
    assert (proposal.messages, proposal.objects) == (6, 1)
    assert sum(proposal.others.values()) == 5
    assert proposal.others["not_an_object"] == 2


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([], "The sample is empty"),
        ([b"[1]", b"x"], "None of the 2 messages is a JSON object"),
        ([b"{}", b'{"a": null}'], "The 2 objects have no field"),
    ],
)
def test_a_sample_with_nothing_to_propose_says_so(messages: list[bytes], words: str) -> None:
    with pytest.raises(NothingToInfer, match=words):
        propose(of_messages(messages))


def test_rows_are_sorted_by_groups_then_time_then_id_and_partitioned_by_month() -> None:
    proposal = proposed(
        *(
            {
                "order_id": n,
                "country": "CH" if n % 2 else "DE",
                "kind": ["a", "b", "c"][n % 3],
                "updated_at": "2026-01-02T00:00:00Z",
                "time": "2026-01-02T00:00:00Z",
                "select": "2026-01-02T00:00:00Z",
                "maybe": "x" if n else None,
            }
            for n in range(30)
        )
    )
    assert proposal.sorting_key == ("country", "kind", "time", "order_id")
    assert proposal.partition_key == "toYYYYMM(time)"


def test_evidence_says_how_often_and_what_values() -> None:
    (column,) = proposed({"n": 5}, {"n": 2.5}, {"n": None}, {}, {"n": 5}).columns
    shown = column.evidence
    assert (shown.present, shown.nulls, shown.distinct) == (4, 1, 2)
    assert (shown.smallest, shown.largest, shown.examples) == ("2.5", "5", ("5", "2.5"))


def test_at_most_so_many_messages_are_read() -> None:
    messages = [b'{"a": %d}' % n for n in range(MESSAGES)] + [b'{"a": "text"}']
    assert proposed(*messages).messages == MESSAGES


# --- Generated events ---------------------------------------------------------------------------

KEYS = st.sampled_from(["a", "b.c", "Zeit", "имя", "user", "user_id", "ts", "time", "a b", "x'y"])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.integers(1_600_000_000, 1_700_000_000),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.dates().map(str),
    st.datetimes().map(str),
    st.uuids().map(str),
    st.ip_addresses().map(str),
    st.sampled_from(["true", "7", "1.50", "2012/01/01", "", "null", "1e5"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=4,
)
#: Either anything anywhere, or events that are alike, as those of one producer.
EVENTS = st.lists(st.dictionaries(KEYS, VALUES, max_size=4), min_size=1, max_size=8)


@st.composite
def alike(draw: st.DrawFn) -> list[dict[str, Any]]:
    item = st.fixed_dictionaries(
        {"sku": st.text(max_size=3), "n": st.integers(0, 9)},
        optional={"tags": st.lists(SCALARS, max_size=2), "at": st.datetimes().map(str)},
    )
    event = st.fixed_dictionaries(
        {"id": st.uuids().map(str), "items": st.lists(item, max_size=3)},
        optional={"user": st.fixed_dictionaries({"name": st.text(max_size=3)}), "v": SCALARS},
    )
    return draw(st.lists(event, min_size=1, max_size=8))


@pytest.mark.slow
@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.lists(EVENTS | alike(), min_size=1, max_size=3))
def test_each_generated_object_lands(batches: list[list[dict[str, Any]]]) -> None:
    for events in batches:
        try:
            proposal = proposed(*events)
        except NothingToInfer:
            continue
        assert proposal.objects == len(events)
