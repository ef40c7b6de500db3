"""Divides CSV text into rows, knows which fields stood in quotes, and survives an unclosed one.

A line with a quote that is not closed, or with text behind a closing one, becomes a row of its own,
and reading goes on with the line behind it. Otherwise the quote would take all lines up to the next
quote into its field.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from ingestion.backfill.read_options import ReadOptions
from ingestion.backfill.readers.csv_fields import Field, Quoted

#: The largest field in characters. csv's default of 128 KiB protects against unknown files.
_FIELD = 64 << 20


@dataclass(frozen=True, slots=True)
class BrokenLine:
    """A line whose quotes can't be read. ``number``: from 1."""

    number: int
    text: str

    def shown(self) -> list[str]:
        """Where it is and what is wrong, and the line."""
        wrong = f"line {self.number}: a quote is not closed, or text follows a closing quote"
        return [wrong, self.text]


class _Lines:
    """An iterator of lines that notes those of the present row, and can read them again."""

    def __init__(self, text: Iterable[str]) -> None:
        self._text = iter(text)
        self._again: deque[str] = deque()
        self.row: list[str] = []
        #: The number of the row's first line.
        self.number = 1

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._text)
        self.row.append(line)
        return line

    def begin_row(self) -> None:
        self.number += len(self.row)
        self.row.clear()

    def give_back(self) -> BrokenLine:
        """Take the row's first line out; the others will be read again."""
        first = BrokenLine(self.number, self.row[0].rstrip("\r\n"))
        self._again.extendleft(reversed(self.row[1:]))
        self.row = self.row[:1]
        self.begin_row()
        return first


def rows(
    text: Iterable[str], delimiter: str, options: ReadOptions
) -> Iterator[Sequence[Field] | BrokenLine]:
    """The rows that are not blank; raises csv.Error for a field that is too large."""
    csv.field_size_limit(_FIELD)
    if options.rules == 1:
        yield from filter(None, csv.reader(text, delimiter=delimiter))
        return
    lines = _Lines(text)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    quotes = _Quotes(delimiter, options.null)
    while True:
        lines.begin_row()
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if len(lines.row) == 1 and len(lines.row[0]) > _FIELD:
                msg = f"line {lines.number}: {error}"
                raise csv.Error(msg) from error
            yield lines.give_back()
            continue
        if row:
            yield quotes.marked(row, lines.row)


class _Quotes:
    """Marks the fields of a row that are empty in quotes, or are the marker of no value."""

    def __init__(self, delimiter: str, null: str | None) -> None:
        self._delimiter, self._null = delimiter, null
        self._special = {"", null} if null is not None else {""}
        self._quoted = tuple(f'"{text}"' for text in self._special)
        self._field = re.compile(rf'"(?:[^"]|"")*+"|[^{re.escape(delimiter)}\r\n]*', re.DOTALL)

    def marked(self, row: list[str], lines: list[str]) -> Sequence[Field]:
        """The row with ``Quoted`` for a special field in quotes, and None for a bare marker."""
        has_null = self._null is not None and self._null in row
        if not has_null and "" not in row:
            return row
        raw = lines[0] if len(lines) == 1 else "".join(lines)
        if not any(text in raw for text in self._quoted):
            return [None if field == self._null else field for field in row] if has_null else row
        return [
            self._one(field, is_quoted=is_quoted)
            for field, is_quoted in zip(row, self._are_quoted(raw), strict=True)
        ]

    def _one(self, field: str, *, is_quoted: bool) -> Field:
        if field not in self._special:
            return field
        if is_quoted:
            return Quoted(field)
        return None if field == self._null else field

    def _are_quoted(self, raw: str) -> Iterator[bool]:
        """For each field of the row's text, whether it begins with a quote."""
        place = 0
        while match := self._field.match(raw, place):
            yield match[0].startswith('"')
            place = match.end()
            if not raw.startswith(self._delimiter, place):
                return
            place += 1
