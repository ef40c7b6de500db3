"""The fields of a sample's objects: their paths and values. Objects in objects are flattened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

#: An object with more keys, each in few of the messages, is a map: its keys are data.
_MAP_KEYS, _MAP_SHARE = 30, 0.3
#: How deep objects are flattened.
_DEPTH = 10


@dataclass(frozen=True, slots=True)
class Field:
    """A field. ``values``: without nulls. ``present``: messages that have it, null or not."""

    keys: tuple[str, ...]
    values: list[Any]
    present: int

    @property
    def kinds(self) -> list[str]:
        """The kinds of JSON that its values are."""
        return sorted({kind_of(value) for value in self.values})


def kind_of(value: Any) -> str:
    """The kind of a JSON value, as messages to people call it."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    named = {str: "text", list: "array", dict: "object", type(None): "null"}
    return named.get(type(value), "number")


def fields(objects: Sequence[dict[str, Any]], keys: tuple[str, ...] = ()) -> Iterator[Field]:
    """All fields of the objects, in the order in which they come first."""
    for key, values in grouped(objects).items():
        path = (*keys, key)
        field = Field(path, [value for value in values if value is not None], len(values))
        if field.kinds == ["object"] and len(path) < _DEPTH and not is_map(field.values):
            yield from fields(field.values, path)
        else:
            yield field


def grouped(objects: Iterable[dict[str, Any]]) -> dict[str, list[Any]]:
    """The values of each key of the objects."""
    found: dict[str, list[Any]] = {}
    for one in objects:
        for key, value in one.items():
            found.setdefault(key, []).append(value)
    return found


def is_map(objects: Sequence[dict[str, Any]]) -> bool:
    """Whether the objects' keys are data rather than names: many, and each is rare."""
    sizes = [len(one) for one in objects]
    keys = {key for one in objects for key in one}
    return len(keys) > _MAP_KEYS and sum(sizes) < _MAP_SHARE * len(keys) * len(objects)
