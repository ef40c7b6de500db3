"""Parameters of a request: the transport's, the query's, and settings of the engine."""

from __future__ import annotations

import pytest

from millrace.embedded.clickhouse.errors import EngineError
from millrace.embedded.clickhouse.parameters import MOST_AT_ONCE, split


def test_each_parameter_goes_where_it_belongs() -> None:
    read = split(
        {
            "query": "SELECT 1",
            "database": "d",
            "param_query": "x",
            "max_threads": "2",
            "enable_http_compression": "1",
            MOST_AT_ONCE: "3",
        }
    )
    assert read.transport == {"query": "SELECT 1", "database": "d"}
    assert read.bound == {"query": "x"}
    # The engine takes all users for one, so that this limit must never reach it.
    assert read.settings == {"max_threads": "2"}
    assert read.front == {"enable_http_compression": "1", MOST_AT_ONCE: "3"}


def test_what_describes_a_file_is_no_setting_but_only_of_files_that_came() -> None:
    pairs = {
        "ids_format": "CSV",
        "ids_types": "UInt8",
        "ids_structure": "a Int8",
        "b_format": "CSV",
    }
    read = split(pairs, ["ids"])
    assert set(read.transport) == {"ids_format", "ids_types", "ids_structure"}
    assert read.settings == {"b_format": "CSV"}


def test_a_bound_value_that_is_not_utf_8_is_refused() -> None:
    assert split({"param_a": "ü\U0001f600"}).bound == {"a": "ü\U0001f600"}
    for value in ("\udcff", "ü\ud800", "\udfff"):
        with pytest.raises(EngineError, match="value of param_a is not UTF-8") as refused:
            split({"param_a": value})
        assert refused.value.code == 36


@pytest.mark.parametrize(
    ("value", "is_set"), [("1", True), ("true", True), ("0", False), ("", False), ("yes", False)]
)
def test_a_flag_is_set_by_1_or_true(value: str, is_set: bool) -> None:
    for name in ("wait_end_of_query", "enable_http_compression"):
        assert split({name: value}).flag(name) is is_set
    assert not split({}).flag("wait_end_of_query")


def test_a_number_has_a_default_and_must_be_one() -> None:
    assert split({}).number("session_timeout", 60) == 60
    assert split({"session_timeout": ""}).number("session_timeout", 60) == 60
    assert split({"session_timeout": "5"}).number("session_timeout", 60) == 5
    assert split({MOST_AT_ONCE: "2"}).number(MOST_AT_ONCE, 0) == 2
    with pytest.raises(EngineError, match="session_timeout is not a number") as refused:
        split({"session_timeout": "5s"}).number("session_timeout", 60)
    assert refused.value.code == 36
