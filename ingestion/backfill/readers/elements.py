"""Divides JSON that is not one object a line: an array's elements, or objects over several lines.

Only brackets, commas and strings are looked at. The bytes between them are passed on unchanged, so
that ClickHouse judges each element as it would a message.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ingestion.backfill.errors import FileUnreadable
from ingestion.backfill.file import HistoryFile

#: The longest element in bytes; one that never ends would fill the memory.
_ELEMENT_BYTES = 256 << 20
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
#: Up to a bracket, or to a quote whose string ends beyond the buffer.
_WITHIN = re.compile(rb'(?:[^"{}\[\]]++|' + _STRING + rb')*+(["{}\[\]])', re.DOTALL)
#: The same between elements, where commas count.
_BETWEEN = re.compile(rb'(?:[^"{}\[\],]++|' + _STRING + rb')*+(["{}\[\],])', re.DOTALL)
_OPENING, _CLOSING = b"{[", b"}]"
#: RFC 8259, section 2.
_BLANK = b" \t\r\n"


class Elements:
    """Divides a file's text, block by block. ``depth``: brackets that are open before an element.

    ``depth`` is 1 for an array, whose elements commas divide. It is 0 for objects behind each
    other.
    """

    def __init__(self, file: HistoryFile, *, is_array: bool) -> None:
        self._file = file
        self._base = int(is_array)
        self._depth = 0
        self._held = b""
        #: Where in ``_held`` the element begins, and where the next token is looked for.
        self._start = self._next = 0
        self._line = 1
        self._has_ended = False

    def of(self, blocks: Iterable[bytes]) -> Iterator[list[bytes]]:
        """The elements of each block of text; raises FileUnreadable where the JSON can't go on."""
        for block in blocks:
            self._held += block
            yield list(self._complete())
            self._forget()
        yield self._rest()

    def _complete(self) -> Iterator[bytes]:
        while True:
            pattern = _WITHIN if self._depth > self._base else _BETWEEN
            match = pattern.match(self._held, self._next)
            if match is None or match[1] == b'"':
                # What was looked at may go on in the next block: it is read again.
                return
            sign, place = match[1], match.start(1)
            self._next = place + 1
            if sign in _OPENING:
                self._open(place)
            elif sign in _CLOSING:
                yield from self._close(place)
            elif self._depth == self._base == 1:
                yield self._element(place, place + 1)

    def _open(self, place: int) -> None:
        self._depth += 1
        if self._base and self._depth == 1:
            if self._has_ended or self._held[self._start : place].strip():
                raise self._wrong("text stands beside the array")
            self._start = place + 1

    def _close(self, place: int) -> Iterator[bytes]:
        self._depth = max(0, self._depth - 1)
        if self._depth:
            return
        if not self._base:
            yield self._element(place + 1, place + 1)
        elif self._has_ended:
            raise self._wrong("text stands behind the array")
        else:
            self._has_ended = True
            # An array without elements, or a comma behind the last, has nothing here.
            if last := self._element(place, place + 1):
                yield last

    def _element(self, end: int, next_start: int) -> bytes:
        element = self._held[self._start : end].strip(_BLANK)
        self._line += self._held.count(b"\n", self._start, next_start)
        self._start = next_start
        return element

    def _forget(self) -> None:
        self._held = self._held[self._start :]
        self._next -= self._start
        self._start = 0
        if len(self._held) > _ELEMENT_BYTES:
            limit = _ELEMENT_BYTES >> 20
            raise self._wrong(f"an element begins there that is longer than {limit} MiB")

    def _rest(self) -> list[bytes]:
        """What stands behind the last element; raises FileUnreadable if something is open."""
        rest = self._held.strip(_BLANK)
        if self._base and not self._has_ended:
            raise self._wrong("the array does not end, or an element that begins there does not")
        if self._base and rest:
            raise self._wrong("text stands behind the array")
        if self._depth:
            raise self._wrong("an object begins there that does not end")
        return [rest] if rest else []

    def _wrong(self, words: str) -> FileUnreadable:
        rest = self._held[self._start :]
        line = self._line + rest.count(b"\n", 0, len(rest) - len(rest.lstrip()))
        return FileUnreadable(
            f"{self._file.shown}, from line {line} on: it can't be read as JSON: {words}."
        )
