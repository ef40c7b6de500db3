"""The curl lines that the demo prints, and what each must answer."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CurlLine:
    """``about``: what it shows; ``status``: the HTTP status that it must have."""

    about: str
    command: str
    status: int


def lines(web: str, keys: Mapping[str, str]) -> list[CurlLine]:
    """They work when pasted into a shell."""
    api = f"{web}/api/v1"
    delays = f"{api}/queries/delays?origin=JFK&least=50"
    return [
        CurlLine("United's worst destinations from JFK", _get(keys["united"], delays), 200),
        CurlLine("the same as CSV", _get(keys["united"], f"{delays}&format=csv"), 200),
        CurlLine("the same of JetBlue: its own data", _get(keys["jetblue"], delays), 200),
        CurlLine(
            "the weather service's key: it has no such query, and learns of none",
            _get(keys["weather"], delays),
            404,
        ),
        CurlLine(
            "the coldest hours, with parameters in a JSON body",
            _post(keys["weather"], f"{api}/queries/coldest", '{"station": "LGA", "hours": 3}'),
            200,
        ),
        CurlLine("what a key may call", _get(keys["southwest"], f"{api}/queries"), 200),
    ]


def _get(key: str, url: str) -> str:
    return f"curl -sS -H 'Authorization: Bearer {key}' {shlex.quote(url)}"


def _post(key: str, url: str, body: str) -> str:
    return (
        f"curl -sS -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' "
        f"-d {shlex.quote(body)} {shlex.quote(url)}"
    )
