"""A few hundred events that are broken on purpose, so that quarantine has something to show.

Which, and how, depends on nothing but an event's number, so that every run sends the same.
"""

from __future__ import annotations

import orjson

#: One event in so many is broken.
EVERY = 997


def is_broken(number: int) -> bool:
    return number % EVERY == EVERY // 2


def count(events: int) -> int:
    """How many of the first ``events`` events are broken."""
    return (events + EVERY - 1 - EVERY // 2) // EVERY


def spoiled(number: int, event: bytes, required: str, *, json: bool = False) -> bytes:
    """The event with one of four mistakes; with ``json`` it stays JSON."""
    kinds = 3 if json else 4
    content = orjson.loads(event)
    kind = number // EVERY % kinds
    if kind == 0:
        content[required] = {"unexpected": "object"}
    elif kind == 1:
        content["air_time" if "air_time" in content else "humidity"] = 70_000_000
    elif kind == 2:
        del content[required]
    else:
        return event[: len(event) // 2]
    return orjson.dumps(content)
