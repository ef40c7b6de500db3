"""JSON that is not one object a line is divided with each byte kept, wherever blocks end."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from ingestion.backfill.errors import FileUnreadable
from ingestion.backfill.file import Format, HistoryFile
from ingestion.backfill.readers.elements import Elements

FILE = HistoryFile(Path("a.json"), Format.NDJSON, None, 0)
AWKWARD = [
    b'{"a": "x]},{[\\"", "b": [1, [2], {"c": "\\\\"}]}',
    b'{"big": 123456789012345678901234567890.10, "twice": 1, "twice": 2}',
    b'{"broken": "\xff\xfe", "\\u0000": "\\ud800"}',
    b"[1, 2]",
    b'"a, b"',
    b"7",
    b"null",
    b"{}",
]


def divided(text: bytes, size: int, *, is_array: bool) -> list[bytes]:
    blocks = (text[start : start + size] for start in range(0, len(text), size))
    return [one for some in Elements(FILE, is_array=is_array).of(blocks) for one in some]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 10_000])
@pytest.mark.parametrize("between", [b",", b" ,\n\t", b",\r\n"])
def test_an_array_is_its_elements_with_the_bytes_that_they_had(size: int, between: bytes) -> None:
    text = b" [\n" + between.join(AWKWARD) + b" ]\n"
    assert divided(text, size, is_array=True) == AWKWARD


@pytest.mark.parametrize("size", [1, 3, 50, 10_000])
@pytest.mark.parametrize("between", [b"", b"\n", b"\r\n \r\n"])
def test_objects_behind_each_other_are_divided_where_they_end(size: int, between: bytes) -> None:
    objects = [part for part in AWKWARD if part[:1] in b"{["]
    assert divided(between.join(objects), size, is_array=False) == objects


def test_random_rows_are_what_a_parser_says() -> None:
    chance = random.Random(3)
    letters = '"\\{}[],:\n é€'
    rows = [
        {"".join(chance.choices(letters, k=3)): ["".join(chance.choices(letters, k=9)), {"n": n}]}
        for n in range(300)
    ]
    for indent in (None, 1):
        text = json.dumps(rows, indent=indent).encode()
        assert [json.loads(row) for row in divided(text, 101, is_array=True)] == rows
        text = "".join(json.dumps(row, indent=indent) for row in rows).encode()
        assert [json.loads(row) for row in divided(text, 101, is_array=False)] == rows


@pytest.mark.parametrize(
    ("text", "is_array", "elements"),
    [
        (b"[]", True, []),
        (b"[ 1, ]", True, [b"1"]),
        (b"[1,,2]", True, [b"1", b"", b"2"]),
        (b'[{"a": 1], {"b": 2}]', True, [b'{"a": 1]', b'{"b": 2}']),
        (b'{"a": 1} x {"b": 2} y', False, [b'{"a": 1}', b'x {"b": 2}', b"y"]),
    ],
)
def test_what_is_no_json_stays_a_row_and_will_not_fit(
    text: bytes, is_array: bool, elements: list[bytes]
) -> None:
    assert divided(text, 2, is_array=is_array) == elements


@pytest.mark.parametrize(
    ("text", "is_array", "says"),
    [
        (b'[1,\n2,\n{"a": 3', True, "from line 3 on.*does not end"),
        (b'[1,\n2,\n{"a": 3,\n{"b": 4}]\n', True, "from line 3 on.*does not end"),
        (b'{\n"a": 1\n}\n{\n"b": "', False, "from line 4 on.*does not end"),
        (b"[1] [2]", True, "text stands beside the array"),
    ],
)
def test_json_that_does_not_end_names_the_line(text: bytes, is_array: bool, says: str) -> None:
    with pytest.raises(FileUnreadable, match=says):
        divided(text, 4, is_array=is_array)


def test_an_element_that_never_ends_does_not_fill_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ingestion.backfill.readers.elements._ELEMENT_BYTES", 1 << 20)
    blocks = iter([b'[1,\n{"a": "'] + [b"x" * 100_000] * 50)
    with pytest.raises(FileUnreadable, match=r"line 2 on.*longer than 1 MiB"):
        list(Elements(FILE, is_array=True).of(blocks))
    assert next(blocks)
