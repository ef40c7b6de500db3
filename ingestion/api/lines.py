"""Splits a body into events: NDJSON, a JSON array, or one object.

Each event keeps the bytes that were sent: numbers keep all their digits, keys their order. Parsing
only finds where an event ends and whether it is an object. Line breaks between the tokens of a
pretty-printed event become blanks, because the spool holds one event per line. That is safe: JSON
allows no line break within a string.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from tenants.rest.problem import Problem

#: How many errors one response lists.
SHOWN = 100
_BLANK = re.compile(r"[ \t\r\n]*")
_KINDS = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
_decoder = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class LineError:
    """``line``: the line number in NDJSON, or the element's number in an array; both from 1."""

    line: int
    message: str


def events(body: bytes) -> list[bytes]:
    """The events of a body, at least one; raises Problem 400, which lists the invalid lines."""
    text = body.lstrip(b" \t\r\n")
    if not text:
        raise Problem(400, "no_events", "The body is empty. Send one JSON object per line.")
    if text.startswith(b"["):
        return _array(body)
    found, errors = _lines(body)
    if errors and (whole := _one(body)) is not None:
        return [whole]
    if errors:
        raise _refused(errors)
    return found


def places(body: bytes, count: int) -> Sequence[int]:
    """The position of each of the ``count`` events in the body, counted as in ``LineError``."""
    if body.lstrip(b" \t\r\n").startswith(b"["):
        return range(1, count + 1)
    filled = (n for n, line in enumerate(body.split(b"\n"), 1) if line.strip(b" \t\r"))
    return list(islice(filled, count))


def _refused(errors: list[LineError], unit: str = "line") -> Problem:
    shown = [{"line": error.line, "message": error.message} for error in errors[:SHOWN]]
    what = f"1 {unit} is not a JSON object"
    if len(errors) > 1:
        what = f"{len(errors)} {unit}s are not JSON objects"
    detail = f"{what}. Nothing was stored: correct this and send the whole body again."
    return Problem(400, "events_invalid", detail, errors=shown, error_count=len(errors))


def _lines(body: bytes) -> tuple[list[bytes], list[LineError]]:
    found, errors = [], []
    for number, line in enumerate(body.split(b"\n"), 1):
        event = line.strip(b" \t\r")
        if not event:
            continue
        message = _fault(event)
        if message:
            errors.append(LineError(number, message))
        else:
            found.append(event.replace(b"\r", b" "))
    return found, errors


def _fault(event: bytes) -> str:
    """Why ``event`` is not one JSON object; empty if it is one."""
    try:
        return _not_object(_decoder.decode(event.decode()))
    except json.JSONDecodeError as error:
        return f"{error.msg} at column {error.colno}"
    except UnicodeDecodeError as error:
        return f"not UTF-8 at byte {error.start + 1}"
    except RecursionError:
        return "nested too deeply"


def _not_object(value: object) -> str:
    if isinstance(value, dict):
        return ""
    return f"{_KINDS.get(type(value), 'a number')}, not an object"


def _one(body: bytes) -> bytes | None:
    """The whole body as one pretty-printed event, or None if it is not one."""
    event = body.strip(b" \t\r\n")
    return None if _fault(event) else _on_one_line(event)


def _on_one_line(event: bytes) -> bytes:
    return event.replace(b"\r", b" ").replace(b"\n", b" ")


def _array(body: bytes) -> list[bytes]:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise Problem(
            400, "body_unreadable", f"The body is not UTF-8 at byte {error.start + 1}."
        ) from error
    found, errors = [], []
    try:
        for number, (value, start, end) in enumerate(_elements(text), 1):
            message = _not_object(value)
            if message:
                errors.append(LineError(number, message))
            found.append(_on_one_line(text[start:end].encode()))
    except json.JSONDecodeError as error:
        detail = (
            f"The array is not valid JSON: {error.msg} at line {error.lineno}, column "
            f"{error.colno}."
        )
        raise Problem(400, "body_unreadable", detail, line=error.lineno) from error
    except RecursionError as error:
        raise Problem(400, "body_unreadable", "The array is nested too deeply.") from error
    if errors:
        raise _refused(errors, "element")
    if not found:
        raise Problem(400, "no_events", "The array is empty. Send at least one object.")
    return found


def _elements(text: str) -> Iterator[tuple[object, int, int]]:
    """Each element of the array in ``text``, with the offsets where it begins and ends."""
    at = _skip(text, _skip(text, 0) + 1)
    if text[at : at + 1] == "]":
        return _finished(text, at)
    while True:
        value, end = _decoder.raw_decode(text, at)
        yield value, at, end
        at = _skip(text, end)
        if text[at : at + 1] == "]":
            return _finished(text, at)
        if text[at : at + 1] != ",":
            raise json.JSONDecodeError("Expecting ',' or ']'", text, at)
        at = _skip(text, at + 1)


def _finished(text: str, at: int) -> None:
    end = _skip(text, at + 1)
    if end != len(text):
        raise json.JSONDecodeError("Extra data after the array", text, end)


def _skip(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at
