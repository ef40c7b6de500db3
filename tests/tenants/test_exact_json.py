"""JSON read strictly: what is refused, and that size alone makes nothing slow."""

from __future__ import annotations

import json

import pytest

from tenants import exact_json
from tenants.exact_json import Doubled


def test_the_first_member_that_comes_twice_is_named() -> None:
    with pytest.raises(Doubled) as raised:
        exact_json.read('{"a": 1, "b": {"c": 1, "d": 2, "d": 3, "c": 4}}')
    assert raised.value.name == "d"


def test_a_member_that_comes_twice_is_found_among_very_many() -> None:
    """Counted one by one, so many would take hours, in which nothing else of the process runs."""
    members = ", ".join(f'"{number}": 0' for number in range(500_000))
    with pytest.raises(Doubled):
        exact_json.read(f'{{{members}, "499999": 1}}')
    assert len(exact_json.read(f"{{{members}}}")) == 500_000


def test_half_of_a_surrogate_pair_is_read_as_it_is() -> None:
    assert exact_json.read(json.dumps({"\ud800": 1})) == {"\ud800": 1}
