"""Reads the body of a request and decompresses it, up to a limit."""

from __future__ import annotations

import io
from typing import Any, BinaryIO

import pyarrow as pa
from django.http.request import UnreadablePostError

from tenants.rest.problem import Problem

_STEP = 64 * 1024
_ENCODINGS = "gzip, zstd"


_CODECS = {"gzip": "gzip", "x-gzip": "gzip", "zstd": "zstd"}


class _Packed(io.RawIOBase):
    """The request's stream as a file for pyarrow; closing it leaves the request open."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._stream.read(size)


def decoded(stream: BinaryIO, encoding: str, limit: int) -> bytes:
    """The body, decoded by its ``Content-Encoding``; raises Problem 400, 413 or 415.

    ``limit`` counts decompressed bytes. No more than that is ever in memory, so a small body that
    decompresses to gigabytes does no harm.
    """
    name = encoding.strip().lower() or "identity"
    if name == "identity":
        return _read(stream, limit)
    if name not in _CODECS:
        raise Problem(
            415,
            "encoding_unknown",
            f"Content-Encoding {name!r} is not supported. Send the body uncompressed, or "
            f"compressed as one of: {_ENCODINGS}.",
            headers={"Accept-Encoding": _ENCODINGS},
        )
    try:
        # The zstandard package mistakes a truncated body for a complete frame; pyarrow does not.
        with pa.CompressedInputStream(pa.PythonFile(_Packed(stream)), _CODECS[name]) as plain:
            return _read(plain, limit)
    except UnreadablePostError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise Problem(400, "body_unreadable", _unreadable(name, str(error))) from error


def _unreadable(name: str, error: str) -> str:
    if "Truncated" in error:
        return f"The body is truncated: its {name} data is incomplete. Nothing was stored: resend."
    return f"The body is not valid {name}: {error}."


def _read(stream: Any, limit: int) -> bytes:
    body = io.BytesIO()
    while step := stream.read(_STEP):
        if body.tell() + len(step) > limit:
            raise too_large(limit)
        body.write(step)
    return body.getvalue()


def too_large(limit: int) -> Problem:
    """The answer to a body of more than ``limit`` bytes."""
    detail = f"The body is larger than {limit} bytes when decompressed. Send fewer events at once."
    return Problem(413, "body_too_large", detail, limit=limit)
