"""The curl commands that the demo prints, with the status that each must get."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CurlLine:
    """A command to paste. ``about`` says what it shows; ``status`` is the expected HTTP status."""

    about: str
    command: str
    status: int


def lines(web: str, keys: Mapping[str, str]) -> list[CurlLine]:
    """The commands, quoted so that they work when pasted into a shell."""
    api = f"{web}/api/v1"
    delays = f"{api}/queries/delays?origin=JFK&least=50"
    return [
        CurlLine(
            "United's destinations from JFK with the longest delays",
            _get(keys["united"], delays),
            200,
        ),
        CurlLine("The same as CSV", _get(keys["united"], f"{delays}&format=csv"), 200),
        CurlLine("The same query of JetBlue, on its own data", _get(keys["jetblue"], delays), 200),
        CurlLine(
            "With the weather service's key: it has no such query, and other tenants' stay hidden",
            _get(keys["weather"], delays),
            404,
        ),
        CurlLine(
            "The coldest hours, with parameters in a JSON body",
            _post(keys["weather"], f"{api}/queries/coldest", '{"station": "LGA", "hours": 3}'),
            200,
        ),
        CurlLine("The queries that a key may call", _get(keys["southwest"], f"{api}/queries"), 200),
    ]


def _get(key: str, url: str) -> str:
    return f"curl -sS -H 'Authorization: Bearer {key}' {shlex.quote(url)}"


def _post(key: str, url: str, body: str) -> str:
    return (
        f"curl -sS -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' "
        f"-d {shlex.quote(body)} {shlex.quote(url)}"
    )
