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


@pytest.mark.timeout(60)
def test_a_value_of_many_blanks_is_read_once() -> None:
    """Blanks of the sender's own text; trying each took minutes."""
    said = f"Cannot parse string '{' ' * 500_000}'"
    assert clean(f"Code: 6. DB::Exception: {said} (version 26.9.1.1)") == (6, said)
