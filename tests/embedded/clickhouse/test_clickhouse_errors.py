"""Errors as ClickHouse's clients know them: code, name, message, status."""

from __future__ import annotations

import pytest

from millrace.embedded.clickhouse import errors
from millrace.embedded.clickhouse.errors import EngineError, refuse, translate


def test_an_error_of_this_server_has_clickhouses_form() -> None:
    error = refuse(62, "Syntax error.")
    assert (error.code, error.status) == (62, 400)
    assert error.text == str(error) == "Code: 62. DB::Exception: Syntax error. (SYNTAX_ERROR)"


@pytest.mark.parametrize(
    ("raw", "code", "text"),
    [
        (
            "Code: 60. DB::Exception: No table. (UNKNOWN_TABLE) (version 26.9.1.1)",
            60,
            "Code: 60. DB::Exception: No table. (UNKNOWN_TABLE)",
        ),
        (
            "Query failed: Code: 6. DB::ParsingException: Bad. (CANNOT_PARSE_TEXT)",
            6,
            "Code: 6. DB::ParsingException: Bad. (CANNOT_PARSE_TEXT)",
        ),
        (
            "Code: 47. DB::Exception: Code: 47. DB::Exception: No x. (UNKNOWN_NAME) (UNKNOWN_NAME)",
            47,
            "Code: 47. DB::Exception: No x. (UNKNOWN_NAME)",
        ),
        ("out of luck", 1001, "Code: 1001. DB::Exception: out of luck (STD_EXCEPTION)"),
        ("Code: x", 1001, "Code: 1001. DB::Exception: Code: x (STD_EXCEPTION)"),
    ],
)
def test_the_engines_error_keeps_its_code_and_loses_what_is_said_twice(
    raw: str, code: int, text: str
) -> None:
    error = translate(RuntimeError(raw))
    assert (error.code, error.text) == (code, text)


@pytest.mark.parametrize(
    ("code", "status"),
    [(516, 403), (497, 403), (60, 404), (159, 408), (202, 500), (48, 501), (1, 500)],
)
def test_a_code_has_the_status_that_clickhouse_answers(code: int, status: int) -> None:
    assert EngineError(code, "").status == status


def test_no_code_has_two_statuses() -> None:
    assert sum(map(len, errors._STATUSES.values())) == len(errors._STATUS)
