"""A path is read as its keys, or refused with what to write instead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.ddl import paths
from ingestion.ddl.paths import EACH, Segment, Segments

READ: dict[str, Segments] = {
    "a": ("a",),
    "a.b": ("a", "b"),
    "$.a.b": ("a", "b"),
    "$['a'][\"b\"]": ("a", "b"),
    "$[ 'a' ].b": ("a", "b"),
    "$['a.b']": ("a.b",),
    '$["a.b"].c': ("a.b", "c"),
    "$['имя']": ("имя",),
    "$.имя.ключ": ("имя", "ключ"),
    r"$['it\'s']": ("it's",),
    r"""$['a "quoted" one']""": ('a "quoted" one',),
    r'$["a \"quoted\" one"]': ('a "quoted" one',),
    r"$['\u043a\ud83d\ude00\n\/\\']": ("к😀\n/\\",),
    "$['$']['*'].x": ("$", "*", "x"),
    "$['0']": ("0",),
    "$['']": ("",),
    "$.items[0].sku": ("items", 0, "sku"),
    "$.items[*].sku": ("items", EACH, "sku"),
    "$.orders[ * ]['items'][10]": ("orders", EACH, "items", 10),
    "$['a[0]']": ("a[0]",),
    # As they have always been read: they are keys, and no JSONPath.
    "$set.plan": ("$set", "plan"),
    "a.$date": ("a", "$date"),
    "items.0.sku": ("items", "0", "sku"),
    "user-id": ("user-id",),
}


@pytest.mark.parametrize("path", READ)
def test_a_path_is_read_as_its_keys(path: str) -> None:
    assert (paths.segments(path), paths.unreadable(path)) == (READ[path], "")


REFUSED = {
    "$": "It is the whole message",
    "$..sku": "write every key on the way",
    "$.a..sku": "write every key on the way",
    "$.a.*": "write [*] for all elements",
    "$[*].sku": "and no array",
    "$[0]": "and no array",
    "$.a[*].b[*]": "more than one [*]",
    "$.items[-1]": "never from the end",
    "$.items[01]": "without zeros before it",
    "$.items[1000000]": "from 0 to 999999",
    "$.items[1:3]": "a slice",
    "$.items[::2]": "a slice",
    "$.items[?@.a>1]": "never selects by a condition",
    "$['a','b']": "add a column for each",
    "$.user-id": "write $['user-id']",
    "$.a.first name": "write $.a['first name']",
    "$.1st": "write $['1st']",
    "$['a": "can't be read from ['a on",
    "$[a]": "can't be read from [a] on",
    "$['a'": "can't be read from ['a' on",
    r"$['\x']": "can't be read from",
    r"$['\"']": "can't be read from",
    r"$['\ud800']": "no message can have",
    r"$['\u0000']": "no message can have",
    "$.a\n": "write $['a\\n']",
    "items[*].sku": "write $.items[*].sku",
    "items[0].sku": "write $.items[0].sku",
    "user['name']": "write $.user['name']",
    "['name']": "write $['name']",
    "/user/name": "write user.name",
    "user->name": "joined by dots",
}


@pytest.mark.parametrize("path", REFUSED)
def test_any_other_path_is_refused_with_what_is_right(path: str) -> None:
    assert REFUSED[path] in paths.unreadable(path)


KEYS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
LATER = st.one_of(KEYS, st.integers(0, 999_999))


@given(KEYS, st.lists(LATER), st.lists(LATER), st.booleans())
def test_anything_can_be_written_as_a_path_that_is_read_as_it(
    first: str, more: list[Segment], rest: list[Segment], is_of_each: bool
) -> None:
    wanted = (first, *more, *([EACH] if is_of_each else []), *rest)
    assert paths.unreadable(paths.jsonpath(wanted)) == ""
    assert paths.segments(paths.jsonpath(wanted)) == wanted
    assert paths.segments(paths.shown(wanted)) == wanted
