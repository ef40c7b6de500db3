"""Writes a message's metadata as JSON, so that the same message always gives the same bytes.

Text stays text, and a number that the sender typed stays a number. Bytes that are not UTF-8 become
an object, ``{"base64": "…"}``, which no column of texts or numbers accepts: so its message goes to
quarantine, and the bytes are kept.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Integers beyond are written digit by digit, because orjson refuses them.
_LEAST, _MOST = -(1 << 63), (1 << 64) - 1


def written(values: Mapping[str, Any]) -> bytes:
    """The metadata as a JSON object; None is null, as if it were absent."""
    return orjson.dumps({name: _plain(value) for name, value in values.items()})


def moment(milliseconds: int | None) -> str | int | None:
    """A time in ms since 1970 as RFC 3339, or the number itself if it is in no year of four digits.

    Text, since a column takes a small number for seconds.
    """
    if milliseconds is None:
        return None
    try:
        at = _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return milliseconds
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(value: Any) -> Any:
    """The value as orjson writes it without loss."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return _of_bytes(bytes(value))
    if isinstance(value, Mapping):
        return {_key(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, datetime):
        at = value if value.tzinfo else value.replace(tzinfo=UTC)
        return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f")) if value.is_finite() else str(value)
    if isinstance(value, int) and not _LEAST <= value <= _MOST:
        return orjson.Fragment(str(value))
    return value


def _text(value: str) -> Any:
    """A text; if it has what UTF-8 can't hold, the bytes that it was read from."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return _of_bytes(value.encode("utf-8", "surrogatepass"))
    return value


def _of_bytes(value: bytes) -> Any:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _key(key: Any) -> str:
    """A key of a nested table. One that is not UTF-8 is rare; it stays readable."""
    text = key if isinstance(key, str) else bytes(key).decode("utf-8", "backslashreplace")
    return text.encode("utf-8", "backslashreplace").decode()
