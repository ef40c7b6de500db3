"""The claims of a token, read strictly: an unknown claim is an error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tenants import filters
from tenants.rights import Rights, RightsRefused, checked_parameters, names

#: Claims that every token must have.
REQUIRED = ("exp", "iat", "queries")
KNOWN = frozenset({*REQUIRED, "iss", "sub", "aud", "nbf", "jti", "params", "filter", "rate"})
AUDIENCE = "millrace"
#: The year 5138. The limit also excludes NaN and infinities, which Python's JSON reader accepts.
MAX_SECONDS = 1e11
MAX_RATE = 1_000_000
_MAX_SUBJECT = 200


class ClaimRefused(ValueError):
    """A claim is missing, unknown or malformed; the message says what would be valid."""


@dataclass(frozen=True)
class Claims:
    """The claims of a token. Times are seconds since 1970; ``rate`` is requests a minute."""

    subject: str
    issued: float
    ends: float
    rights: Rights
    rate: int | None


def read(payload: Mapping[str, Any]) -> Claims:
    """The claims of a token whose signature was verified; raises ClaimRefused."""
    if missing := [name for name in REQUIRED if name not in payload]:
        raise ClaimRefused(f"The token has no claim {missing[0]}. Add it.")
    if unknown := sorted(set(payload) - KNOWN):
        known = ", ".join(sorted(KNOWN))
        raise ClaimRefused(f"The claim {unknown[0][:60]} is unknown. Use: {known}.")
    _check_audience(payload.get("aud", AUDIENCE))
    return Claims(
        subject=_text(payload, "sub") or _text(payload, "jti"),
        issued=_seconds(payload, "iat"),
        ends=_seconds(payload, "exp"),
        rights=_rights(payload),
        rate=_rate(payload.get("rate")),
    )


def _check_audience(given: Any) -> None:
    if AUDIENCE not in (given if isinstance(given, list) else [given]):
        raise ClaimRefused(f"The claim aud must be {AUDIENCE}.")


def _text(payload: Mapping[str, Any], name: str) -> str:
    value = payload.get(name, "")
    if not isinstance(value, str) or len(value) > _MAX_SUBJECT:
        raise ClaimRefused(f"The claim {name} must be a string of up to {_MAX_SUBJECT} characters.")
    return value


def _seconds(payload: Mapping[str, Any], name: str) -> float:
    value = payload[name]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value < MAX_SECONDS:
        raise ClaimRefused(f"The claim {name} must be a number of seconds since 1970.")
    return float(value)


def _rights(payload: Mapping[str, Any]) -> Rights:
    queries = payload["queries"]
    if "filter" in payload and not payload["filter"]:
        raise ClaimRefused("The claim filter is empty. Leave it out, or give a condition.")
    if not isinstance(queries, list) or not queries or not all(isinstance(q, str) for q in queries):
        raise ClaimRefused('The claim queries must be a list of query names: ["revenue"].')
    try:
        return Rights(
            queries=names("queries", queries),
            parameters=checked_parameters(payload.get("params", {})),
            row_filters=filters.read(payload["filter"]) if "filter" in payload else {},
        )
    except RightsRefused as error:
        name = {"parameters": "params"}.get(error.field, error.field)
        raise ClaimRefused(f"The claim {name}: {error.message}") from None
    except filters.FilterRefused as error:
        raise ClaimRefused(f"The claim filter: {error}") from None


def _rate(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_RATE:
        raise ClaimRefused("The claim rate must be a whole number of requests a minute.")
    return value
