"""Checks whether a text result is UTF-8 while it is read.

ClickHouse writes a String's bytes unchanged, whatever they are. In JSON and JSONCompact it writes
U+FFFD in place of bytes that are not UTF-8.
"""

from __future__ import annotations

import codecs
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import zstandard

#: A compressed result is unpacked in steps of this many bytes: a few may stand for millions.
STEP_BYTES = 256 * 1024
_REPLACED = "\N{REPLACEMENT CHARACTER}".encode()
#: The range in which ``surrogateescape`` puts bytes that are not UTF-8.
_FIRST, _LAST = "\udc80", "\udcff"


class TextWatch:
    """Watches a result part by part. ``is_suspect``: some of it may not be UTF-8.

    ``replaced``: ClickHouse has replaced such bytes, so any U+FFFD is suspicious.
    """

    def __init__(self, *, replaced: bool) -> None:
        self.replaced = replaced
        self.is_suspect = False
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._unpack: Callable[[bytes], object] = self._look
        self._tail = b""

    def begin(self, encoding: str) -> None:
        """Set the result's compression: ``gzip``, ``zstd``, or '' for none."""
        if encoding == "gzip":
            self._unpack = _Gunzip(self._look)
        elif encoding == "zstd":
            sink = _Sink(self._look)
            unpacker = zstandard.ZstdDecompressor()
            self._unpack = unpacker.stream_writer(sink, write_size=STEP_BYTES, closefd=False).write

    def feed(self, part: bytes, *, last: bool = False) -> None:
        if part and not self.is_suspect:
            self._unpack(part)
        if last and not self.is_suspect and not self.replaced:
            self._decode(b"", last=True)

    def _look(self, plain: bytes) -> None:
        if self.is_suspect:
            return
        if self.replaced:
            self.is_suspect = _REPLACED in self._tail + plain
            self._tail = (self._tail + plain[-2:])[-2:]
        else:
            self._decode(plain)

    def _decode(self, plain: bytes, *, last: bool = False) -> None:
        try:
            self._decoder.decode(plain, last)
        except UnicodeDecodeError:
            self.is_suspect = True


class _Gunzip:
    """Unpacks gzip in steps, since a few bytes may stand for many millions."""

    def __init__(self, look: Callable[[bytes], None]) -> None:
        self._look = look
        self._stream = zlib.decompressobj(wbits=31)

    def __call__(self, part: bytes) -> None:
        plain = self._stream.decompress(part, STEP_BYTES)
        self._look(plain)
        # After a full step, zlib may still hold output in its own buffer.
        while self._stream.unconsumed_tail or len(plain) == STEP_BYTES:
            plain = self._stream.decompress(self._stream.unconsumed_tail, STEP_BYTES)
            self._look(plain)


class _Sink(io.BytesIO):
    """The file that zstandard writes its steps to."""

    def __init__(self, look: Callable[[bytes], None]) -> None:
        super().__init__()
        self._look = look

    def write(self, plain: Any) -> int:
        self._look(bytes(plain))
        return len(plain)


def culprit(parts: Iterable[bytes]) -> str | None:
    """The first column in rows of JSONEachRow that is not UTF-8; None if all are."""
    for line in _lines(parts):
        try:
            line.decode()
        except UnicodeDecodeError:
            row = json.loads(line.decode("utf-8", "surrogateescape"))
            return next((name for name, value in row.items() if _is_broken(name, value)), None)
    return None


def _is_broken(name: str, value: object) -> bool:
    text = name + json.dumps(value, ensure_ascii=False)
    return any(_FIRST <= character <= _LAST for character in text)


def _lines(parts: Iterable[bytes]) -> Iterator[bytes]:
    held = b""
    for part in parts:
        *whole, held = (held + part).split(b"\n")
        yield from whole
    if held:
        yield held
