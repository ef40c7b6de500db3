"""Finds the fields of a message that no column reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ingestion.ddl.metadata import of_message
from ingestion.ddl.paths import EACH, Segment, Segments, shown
from ingestion.ddl.spec import ColumnSpec

#: Elements of one array that are looked at.
ELEMENTS = 5


@dataclass(slots=True)
class Read:
    """What columns read at a path and below it. ``is_whole``: a column reads the value itself."""

    is_whole: bool = False
    below: dict[Segment, Read] = field(default_factory=dict)


def read_by(columns: Iterable[ColumnSpec]) -> Read:
    """What the columns read of a message."""
    root = Read()
    for column in of_message(columns):
        place = root
        for segment in column.segments:
            place = place.below.setdefault(segment, Read())
        place.is_whole = True
    return root


def unread(message: Mapping[str, Any], read: Read) -> dict[str, Any]:
    """The values that no column reads, by path; the outermost field of each."""
    return {shown(path): value for path, value in _unread(message, read, ())}


def _unread(value: Any, read: Read, path: Segments) -> Iterator[tuple[Segments, Any]]:
    if read.is_whole:
        return
    if isinstance(value, list):
        for index, element in enumerate(value[:ELEMENTS]):
            if below := read.below.get(EACH) or read.below.get(index):
                yield from _unread(element, below, (*path, EACH))
    elif isinstance(value, dict):
        for key, inner in value.items():
            if below := read.below.get(key):
                yield from _unread(inner, below, (*path, key))
            else:
                yield (*path, key), inner
