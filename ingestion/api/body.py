"""The bytes of a request: read and decompressed up to a limit."""

from __future__ import annotations

import io
import zlib
from typing import BinaryIO

import zstandard

from tenants.api.problem import Problem

_STEP = 64 * 1024
_ENCODINGS = "gzip, zstd"


def decoded(stream: BinaryIO, encoding: str, limit: int) -> bytes:
    """The body behind ``Content-Encoding``; raises Problem 400, 413 or 415.

    ``limit`` holds for the decompressed bytes, and no more than that is ever in memory.
    """
    name = encoding.strip().lower() or "identity"
    try:
        if name == "identity":
            return _read(stream, limit)
        if name in {"gzip", "x-gzip"}:
            return _gunzip(stream, limit)
        if name == "zstd":
            with zstandard.ZstdDecompressor().stream_reader(
                stream, read_across_frames=True, closefd=False
            ) as reader:
                return _read(reader, limit)
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        raise Problem(400, "body_unreadable", f"The body is not {name}: {error}") from error
    raise Problem(
        415,
        "encoding_unknown",
        f"Content-Encoding {name!r} is not known. Send the body plain, or as {_ENCODINGS}.",
        headers={"Accept-Encoding": _ENCODINGS},
    )


def _read(stream: BinaryIO, limit: int) -> bytes:
    body = io.BytesIO()
    while step := stream.read(_STEP):
        if body.tell() + len(step) > limit:
            raise too_large(limit)
        body.write(step)
    return body.getvalue()


def _gunzip(stream: BinaryIO, limit: int) -> bytes:
    """All members of a gzip stream; raises EOFError where it is cut short."""
    body = io.BytesIO()
    member = zlib.decompressobj(wbits=31)
    pending = b""
    while step := pending or stream.read(_STEP):
        if member.eof:
            member = zlib.decompressobj(wbits=31)
        body.write(member.decompress(step, limit - body.tell() + 1))
        if body.tell() > limit:
            raise too_large(limit)
        pending = member.unused_data or member.unconsumed_tail
    if not member.eof:
        raise EOFError("it is cut short")
    return body.getvalue()


def too_large(limit: int) -> Problem:
    """The answer to a body of more than ``limit`` bytes."""
    detail = f"The body is larger than {limit} bytes, decompressed. Send fewer events at once."
    return Problem(413, "body_too_large", detail, limit=limit)
