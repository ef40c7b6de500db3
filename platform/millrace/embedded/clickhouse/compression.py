"""Compresses and decompresses bodies (Content-Encoding).

clickhouse-connect sends each block as a separate frame, so a body contains several frames. A
decoder that stops after the first would silently drop the remaining rows.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import brotli
import lz4.frame
import zstandard

from millrace.embedded.clickhouse.errors import refuse

#: Codings for results, best first: on loopback, CPU time is scarce and bandwidth is not.
_OFFERED = ("lz4", "zstd", "gzip", "deflate", "br")


class _Frame(Protocol):
    """A decoder of one frame, with the interface of the standard library's decompressors."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes | None: ...
    def decompress(self, data: bytes, /) -> bytes: ...


_FRAMES: dict[str, Callable[[], Any]] = {
    "lz4": lz4.frame.LZ4FrameDecompressor,
    "zstd": lambda: zstandard.ZstdDecompressor().decompressobj(),
    "gzip": lambda: zlib.decompressobj(wbits=31),
    "deflate": lambda: zlib.decompressobj(wbits=47),
    "bz2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ),
}


def decode(coding: str, data: Iterable[bytes]) -> Iterator[bytes]:
    """Decode every frame of a body whose Content-Encoding is ``coding``; raises EngineError."""
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        # Not "yield from", because closing this generator must not close ``data``: the rest of the
        # body is drained later.
        for piece in data:  # noqa: UP028
            yield piece
    elif coding == "br":
        yield from _unbrotlied(data)
    elif coding in _FRAMES:
        yield from _decoded(coding, data)
    else:
        raise refuse(48, f"Content-Encoding {coding!r} is not one of {', '.join(_FRAMES)}, br.")


def _decoded(coding: str, data: Iterable[bytes]) -> Iterator[bytes]:
    frame: _Frame | None = None
    try:
        for piece in data:
            rest: bytes | None = piece
            while rest:
                frame = frame or _FRAMES[coding]()
                plain = frame.decompress(rest)
                rest = frame.unused_data if frame.eof else None
                if frame.eof:
                    frame = None
                if plain:
                    yield plain
    except (
        RuntimeError,
        zlib.error,
        zstandard.ZstdError,
        lzma.LZMAError,
        OSError,
        EOFError,
    ) as e:
        raise refuse(271, f"The body is not valid {coding}: {e}.") from None
    if frame is not None:
        raise refuse(271, f"The body ends inside a frame of {coding}.")


def _unbrotlied(data: Iterable[bytes]) -> Iterator[bytes]:
    """Decode a brotli body, which is a single stream without frames."""
    decoder, began = brotli.Decompressor(), False
    try:
        for piece in filter(None, data):
            began = True
            if plain := decoder.process(piece):
                yield plain
    except brotli.error as e:
        raise refuse(271, f"The body is not valid br: {e}.") from None
    if began and not decoder.is_finished():
        raise refuse(271, "The body ends inside a frame of br.")


class Encoder(Protocol):
    """Compresses a result piece by piece."""

    def compress(self, data: bytes | memoryview, /) -> bytes: ...
    def flush(self) -> bytes: ...


class _Lz4:
    def __init__(self) -> None:
        self._context: Any = lz4.frame.LZ4FrameCompressor(auto_flush=True)
        self._head = bytes(self._context.begin())

    def compress(self, data: bytes | memoryview, /) -> bytes:
        head, self._head = self._head, b""
        piece: bytes = self._context.compress(data)
        return head + piece

    def flush(self) -> bytes:
        head, self._head = self._head, b""
        piece: bytes = self._context.flush()
        return head + piece


class _Brotli:
    def __init__(self) -> None:
        self._context = brotli.Compressor(quality=1)

    def compress(self, data: bytes | memoryview, /) -> bytes:
        return bytes(self._context.process(bytes(data)))

    def flush(self) -> bytes:
        return bytes(self._context.finish())


def choose(accepted: str) -> str:
    """The best coding that an Accept-Encoding header allows; '' for none."""
    names = {part.split(";")[0].strip().lower() for part in accepted.split(",")}
    for coding in _OFFERED:
        if coding in names:
            return coding
    return ""


def encoder(coding: str, level: int) -> Encoder:
    """A compressor for a coding from `choose`; ``level`` applies to gzip, deflate and zstd."""
    if coding == "lz4":
        return _Lz4()
    if coding == "zstd":
        return zstandard.ZstdCompressor(level=min(max(level, 1), 9)).compressobj()
    if coding == "br":
        return _Brotli()
    return zlib.compressobj(min(max(level, 1), 9), wbits=31 if coding == "gzip" else 15)
