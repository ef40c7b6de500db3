"""What is told of an error of ClickHouse's: its sentence, and nothing of the engine's inside."""

from __future__ import annotations

import pytest

from tenants.warehouse.errors import clean

SENTENCE = "Type of 'id' must be UInt32, not String"


@pytest.mark.parametrize(
    "rest",
    [
        "",
        " (version 26.9.1.1 (official build))",
        ": (in file/uri /proc/self/fd/12): While executing BinaryRowInputFormat.",
        ": (in file/uri /proc/self/fd/12)",
        ": (at row 3)\n",
        ": While executing File. Stack trace: 0. DB::Exception",
        ": In scope SELECT id FROM t",
    ],
)
def test_an_error_is_its_sentence_alone(rest: str) -> None:
    assert clean(f"Code: 117. DB::Exception: {SENTENCE}{rest}") == (117, SENTENCE)


def test_an_error_without_a_code_is_cut_as_well() -> None:
    assert clean(f"{SENTENCE}: While executing X, Stack trace: y") == (0, SENTENCE)
