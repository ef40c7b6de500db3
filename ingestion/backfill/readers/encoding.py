"""Reads text of any encoding as UTF-8: by its byte order mark, or as the options say."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ingestion.backfill.errors import FileUnreadable
from ingestion.backfill.file import HistoryFile
from ingestion.backfill.read_options import UTF_8
from ingestion.backfill.readers.opening import opened, readable

BOM = b"\xef\xbb\xbf"
#: UTF-32's marks first: the little one begins as UTF-16's does.
_MARKS = {
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_BYTES = 1 << 20


@contextmanager
def opened_as_utf_8(file: HistoryFile) -> Iterator[tuple[Any, Any]]:
    """The stream of the file's text in UTF-8, and the raw file. UTF-8 itself is not checked."""
    name = encoding_of(file)
    with opened(file) as (stream, raw):
        if name == UTF_8:
            yield stream, raw
        else:
            yield io.BufferedReader(_Recoded(file, stream, name), _BYTES), raw


def encoding_of(file: HistoryFile) -> str:
    """The encoding that the options say, or that the file's mark shows; UTF-8 without a mark."""
    if file.options.encoding:
        return file.options.encoding
    with readable(file), opened(file) as (stream, _):
        start: bytes = stream.read(4)
    return next((name for mark, name in _MARKS.items() if start.startswith(mark)), UTF_8)


class _Recoded(io.RawIOBase):
    """A stream of text as UTF-8; reading raises FileUnreadable at bytes that are no such text."""

    def __init__(self, file: HistoryFile, stream: Any, encoding: str) -> None:
        self._file, self._stream, self._encoding = file, stream, encoding
        self._decoder = codecs.getincrementaldecoder(encoding)("strict")
        self._held = b""
        self._is_at_end = self._has_begun = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._held and not self._is_at_end:
            self._held = self._next()
        count = min(len(buffer), len(self._held))
        buffer[:count], self._held = self._held[:count], self._held[count:]
        return count

    def _next(self) -> bytes:
        data = self._stream.read(_BYTES)
        self._is_at_end = not data
        try:
            text = self._decoder.decode(data, final=self._is_at_end).encode()
        except UnicodeError as error:
            raise self._wrong() from error
        if text and not self._has_begun:
            self._has_begun = True
            return text.removeprefix(BOM)
        return text

    def _wrong(self) -> FileUnreadable:
        msg = (
            f"{self._file.shown}: it is not {self._encoding}: it has bytes that are no text in "
            "that encoding. Give the right one with --encoding."
        )
        return FileUnreadable(msg)
