"""Looking whether a result in text is UTF-8, as its bytes go by.

ClickHouse writes a String's bytes as they are, whatever they are; in JSON and JSONCompact it puts
U+FFFD in the place of those that are not UTF-8.
"""

from __future__ import annotations

import codecs
import json
import zlib
from collections.abc import Callable, Iterable, Iterator

import zstandard

_REPLACED = "\N{REPLACEMENT CHARACTER}".encode()
#: What ``surrogateescape`` makes of a byte that is no UTF-8.
_FIRST, _LAST = "\udc80", "\udcff"


class TextWatch:
    """Takes in a result part by part; ``is_suspect`` says whether some of it may not be text.

    ``replaced``: ClickHouse has replaced what is not, so that each U+FFFD is suspicious.
    """

    def __init__(self, *, replaced: bool) -> None:
        self.replaced = replaced
        self.is_suspect = False
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._unpack: Callable[[bytes], bytes] = bytes
        self._tail = b""

    def begin(self, encoding: str) -> None:
        """The result comes compressed like this, or with '' plain."""
        if encoding == "gzip":
            self._unpack = zlib.decompressobj(wbits=31).decompress
        elif encoding == "zstd":
            unpacker = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True)
            self._unpack = unpacker.decompress

    def feed(self, part: bytes, *, last: bool = False) -> None:
        if self.is_suspect:
            return
        plain = self._unpack(part) if part else b""
        if self.replaced:
            self.is_suspect = _REPLACED in self._tail + plain
            self._tail = plain[-2:]
            return
        try:
            self._decoder.decode(plain, last)
        except UnicodeDecodeError:
            self.is_suspect = True


def culprit(parts: Iterable[bytes]) -> str | None:
    """The first column of JSONEachRow that is not UTF-8, None where all are."""
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
