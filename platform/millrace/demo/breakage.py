"""Breaks a few hundred events on purpose, so that the quarantine has something to show.

Only an event's number decides whether and how it is broken, so every run sends the same events.
"""

from __future__ import annotations

import orjson

#: One in this many events is broken.
EVERY = 997


def is_broken(number: int) -> bool:
    return number % EVERY == EVERY // 2


def count(events: int) -> int:
    """How many of the first ``events`` events are broken."""
    return (events + EVERY - 1 - EVERY // 2) // EVERY


def spoiled(number: int, event: bytes, required: str, *, json: bool = False) -> bytes:
    """The event with one of four mistakes, or with ``json`` one of the three that keep it JSON."""
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
