"""Every JSON value lands as exactly itself, or is in quarantine with column, type and value."""

from __future__ import annotations

import hashlib
import random
from typing import Any

import pytest
from cases import ALL_FITS, ALL_MISFITS, column

from ingestion.ddl import ColumnSpec, TableSpec, create

TYPES = sorted({*ALL_FITS, *ALL_MISFITS})


@pytest.mark.parametrize("kind", TYPES)
def test_each_value_lands_or_is_in_quarantine(kind: str, inbox: Any) -> None:
    expected = [(json, text, "") for json, text in ALL_FITS.get(kind, {}).items()]
    expected += [
        (json, "", reason) for reason, found in ALL_MISFITS.get(kind, {}).items() for json in found
    ]
    # A column's values must not depend on their neighbours in the batch.
    random.shuffle(expected)
    inbox.make(TableSpec(inbox.database, "t", (column("v", kind),)))
    messages = [b'{"v": %s}' % json.encode() for json, _, _ in expected]
    inbox.insert("t", messages)
    for message in messages:
        inbox.insert("t", [message])

    landed = inbox.rows(
        f"SELECT _batch, _offset, ifNull(toString(v), '\\\\N') FROM {inbox.database}.t"
    )
    misfits = inbox.rows(
        "SELECT _batch, _offset, reason, `column`, expected, raw "
        f"FROM {inbox.database}.t__quarantine"
    )
    texts = sorted(text for _, text, reason in expected if not reason)
    assert sorted(row[2] for row in landed) == sorted(texts * 2)
    wanted = sorted((reason, json) for json, _, reason in expected if reason)
    found = sorted((row[2], row[5][6:-1]) for row in misfits)
    assert found == sorted(wanted * 2)
    for _, _, reason, name, told, _ in misfits:
        assert (name, told) == ("v", kind) or reason == "invalid_json"


def test_at_least_150_cases_are_tried() -> None:
    misfits = sum(len(found) for kind in ALL_MISFITS.values() for found in kind.values())
    assert sum(map(len, ALL_FITS.values())) + misfits >= 150


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "invalid_json"),
        (b"   ", "invalid_json"),
        (b"{", "invalid_json"),
        (b'{"v": 1} x', "invalid_json"),
        (b"[1]", "not_an_object"),
        (b'["v"]', "not_an_object"),
        (b"7", "not_an_object"),
        (b'"v"', "not_an_object"),
        (b"null", "not_an_object"),
        (b"{}", "missing"),
        (b'{"V": 1}', "missing"),
        (b'{"v": "\xff"}', "invalid_utf8"),
        (b'{"v": 1, "x": "\xc3\x28"}', "invalid_utf8"),
        (b"[" * 10_000 + b"]" * 10_000, "invalid_json"),
        (b'{"v":' * 10_000 + b"1" + b"}" * 10_000, "invalid_json"),
        (b'{"v": {"x": "' + b"a" * 10_000_000 + b'"}}', "wrong_type"),
    ],
    ids=range(16),
)
def test_whole_messages_that_are_no_event_are_kept_byte_for_byte(
    message: bytes, reason: str, inbox: Any
) -> None:
    inbox.make(TableSpec(inbox.database, "t", (ColumnSpec("v", "UInt8"),)))
    inbox.insert("t", [message, b'{"v": 1}'])
    found = inbox.rows(f"SELECT reason, lower(hex(MD5(raw))) FROM {inbox.database}.t__quarantine")
    assert found == [(reason, hashlib.md5(message).hexdigest())]  # noqa: S324 - compares, hides nothing
    assert inbox.count("t") == 1


def test_a_parent_that_is_an_array_is_not_matched_by_position(inbox: Any) -> None:
    columns = (ColumnSpec("id", "UInt8", "user.id"), ColumnSpec("n", "String", "user.name"))
    inbox.make(TableSpec(inbox.database, "t", columns))
    inbox.insert("t", [b'{"user": [5, "x"]}', b'{"user": {"id": 5, "name": "x"}}', b'{"user": 7}'])
    assert inbox.count("t") == 1
    found = inbox.rows(f"SELECT reason, `column` FROM {inbox.database}.t__quarantine ORDER BY 1")
    assert found == [("wrong_type", "user"), ("wrong_type", "user")]


#: Paths of one key, and that key as messages may write it.
ODD_KEYS = {
    "$['a.b']": ['"a.b"', r'"a\u002eb"'],
    "$['имя']": ['"имя"', r'"\u0438\u043c\u044f"'],
    "$.имя2": ['"имя2"'],
    r"$['it\'s']": ['"it\'s"'],
    "$['say \"hi\"']": [r'"say \"hi\""'],
    r"$['back\\slash']": [r'"back\\slash"'],
    r"$['line\nbreak\ttab']": [r'"line\nbreak\ttab"'],
    "$['`tick`']": ['"`tick`"'],
    "$['a[0]']": ['"a[0]"'],
    "$['$']": ['"$"'],
    "$['*']": ['"*"'],
    "$['(.+)#']": ['"(.+)#"'],
    "$['%s{n}?']": ['"%s{n}?"'],
    "$[' ']": ['" "'],
    "$['1']": ['"1"'],
    "$['😀']": ['"😀"', r'"\ud83d\ude00"'],
}


def test_keys_of_any_characters_are_read_with_all_their_digits(inbox: Any) -> None:
    exact = "0.10000000000000000001"
    columns = tuple(
        ColumnSpec(f"c{number}", kind, path, required=False)
        for number, (path, kind) in enumerate(
            (one + suffix, kind)
            for one in ODD_KEYS
            for suffix, kind in (
                (".d", "Nullable(Decimal(38, 20))"),
                ("['i']", "Nullable(Int128)"),
                (".s", "Nullable(String)"),
            )
        )
    )
    inbox.make(TableSpec(inbox.database, "t", columns))
    wanted, messages = [], []
    for number, written in enumerate(ODD_KEYS.values()):
        for key in written:
            for digits, big, text in ((exact, str(1 << 100), "x"), ("0.1", "7", "2026-01-01")):
                value = f'{{"d": {digits}, "i": {big}, "s": "{text}"}}'
                messages.append(f"{{{key}: {value}}}".encode())
                wanted.append((number, digits, big, text))
    inbox.insert("t", messages)
    values = ", ".join(f"toString(c{number})" for number in range(len(columns)))
    rows = inbox.rows(f"SELECT [{values}] FROM {inbox.database}.t ORDER BY _offset")
    found = [
        [(at // 3, *row[at : at + 3]) for at in range(0, len(row), 3) if row[at] is not None]
        for (row,) in rows
    ]
    assert found == [[one] for one in wanted]


def test_a_parent_with_a_dot_that_is_no_object_is_named_as_its_path(inbox: Any) -> None:
    columns = (ColumnSpec("n", "UInt8", "$['a.b'].c"), ColumnSpec("m", "UInt8", "a.b"))
    inbox.make(TableSpec(inbox.database, "t", columns))
    inbox.insert("t", [b'{"a.b": [1], "a": {"b": 2}}', b'{"a.b": {"c": 1}, "a": {"b": 2}}'])
    assert inbox.rows(f"SELECT n, m FROM {inbox.database}.t") == [(1, 2)]
    found = inbox.rows(f"SELECT reason, `column`, value FROM {inbox.database}.t__quarantine")
    assert found == [("wrong_type", "$['a.b']", "[1]")]


def test_the_same_keys_make_the_same_statements_however_they_are_written() -> None:
    plain, other = (
        create(TableSpec("d", "t", (ColumnSpec("n", "UInt8", path),)))
        for path in ("user.name", "$['user'].name")
    )
    assert plain == other


def test_defaults_stand_in_for_what_is_missing_and_never_for_a_misfit(inbox: Any) -> None:
    columns = (
        ColumnSpec("n", "UInt8", required=False, default="9"),
        ColumnSpec("s", "String", required=False, default='"?"'),
        ColumnSpec("a", "Array(String)", required=False, default='["x"]'),
        ColumnSpec("t", "DateTime64(3)", required=False, default='"2026-01-01T00:00:00Z"'),
        ColumnSpec("o", "Nullable(UInt8)", required=False),
        ColumnSpec("p", "Nullable(UInt8)", required=False, default="4"),
    )
    inbox.make(TableSpec(inbox.database, "t", columns))
    inbox.insert("t", [b"{}", b'{"n": null, "p": null}', b'{"n": 300}', b'{"n": 1, "a": []}'])
    found = inbox.rows(
        f"SELECT n, s, a, toString(t), o, p FROM {inbox.database}.t ORDER BY _offset"
    )
    day = "2026-01-01 00:00:00.000"
    assert found == [
        (9, "?", ["x"], day, None, 4),
        (9, "?", ["x"], day, None, None),
        (1, "?", [], day, None, 4),
    ]
    assert inbox.count("t__quarantine") == 1


def test_numbers_in_quotes_are_taken_where_the_column_says_so(inbox: Any) -> None:
    columns = tuple(
        ColumnSpec(name, kind, quoted_numbers=True)
        for name, kind in (("i", "UInt64"), ("f", "Float64"), ("d", "Decimal(18, 4)"))
    )
    inbox.make(TableSpec(inbox.database, "t", columns))
    good = b'{"i": "18446744073709551615", "f": "1.5", "d": "1.2300"}'
    bad = [
        b'{"i": "x", "f": 1, "d": 1}',
        b'{"i": 1, "f": "nan", "d": 1}',
        b'{"i": 1, "f": 1, "d": "1.23456"}',
    ]
    inbox.insert("t", [good, b'{"i": 7, "f": 2, "d": 3}', *bad])
    assert inbox.rows(f"SELECT i, f, toString(d) FROM {inbox.database}.t ORDER BY _offset") == [
        (18446744073709551615, 1.5, "1.23"),
        (7, 2.0, "3"),
    ]
    assert inbox.count("t__quarantine") == 3


def test_what_is_no_json_does_not_land_where_no_column_is_required(inbox: Any) -> None:
    inbox.make(
        TableSpec(inbox.database, "t", (ColumnSpec("v", "Nullable(UInt8)", required=False),))
    )
    inbox.insert("t", [b"{", b'{"v": 1} x', b'{"v": "\xff"}', b'{"v": NaN}', b'{"x": 1}'])
    found = inbox.rows(f"SELECT reason FROM {inbox.database}.t__quarantine ORDER BY 1")
    assert [reason for (reason,) in found] == ["invalid_json"] * 3 + ["invalid_utf8"]
    assert inbox.count("t") == 1


def test_a_number_and_a_text_of_the_same_digits_are_told_apart(inbox: Any) -> None:
    columns = (ColumnSpec("n", "Int128"), ColumnSpec("s", "String"))
    inbox.make(TableSpec(inbox.database, "t", columns))
    digits = b"123456789012345678901234567890"
    inbox.insert("t", [b'{"n": %s, "s": "%s"}' % (digits, digits), b'{"n": 1, "s": %s}' % digits])
    assert inbox.rows(f"SELECT toString(n), s FROM {inbox.database}.t") == [(digits.decode(),) * 2]
    assert inbox.rows(f"SELECT `column` FROM {inbox.database}.t__quarantine") == [("s",)]


def test_digits_are_those_of_the_value_not_of_another_that_is_read_alike(inbox: Any) -> None:
    inbox.make(TableSpec(inbox.database, "t", (ColumnSpec("v", "Decimal(38, 20)"),)))
    far = b"0.10000000000000000001"
    messages = [b'{"x": {"v": %s}, "v": 0.1}', b'{"v": %s}', b'{"x": "\\"v\\":0.1", "\\u0076": %s}']
    inbox.insert("t", [one.replace(b"%s", far) for one in messages])
    found = inbox.rows(f"SELECT toString(v) FROM {inbox.database}.t ORDER BY _offset")
    assert found == [("0.1",), (far.decode(),), (far.decode(),)]
