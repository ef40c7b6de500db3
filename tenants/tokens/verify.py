"""Whether a token is good, and who calls by it.

Of what a token says by itself nothing is believed but the name of its key. That key says which
algorithm its tokens have, and with what they are checked; a header that brings a key, or the
address of one (jwk, jku, x5u …), is refused.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from threading import Lock
from typing import Any

import jwt
from cachetools import LRUCache

from tenants import exact_json, filters
from tenants.models import Scope
from tenants.selectors.callers import Caller, Holder, find_holder
from tenants.tokens import claims, signing
from tenants.tokens.claims import ClaimRefused, Claims

#: Longest token, in characters.
MAX_LENGTH = 8 * 1024
#: Seconds by which an issuer's clock may be ahead. At a token's end nothing is given.
LEEWAY = 30
#: Tokens that one process remembers as good.
KEPT = 10_000

_HEADER = frozenset({"alg", "typ", "kid"})
_PREFIX = re.compile(r"[0-9A-Za-z]{10}\Z")
_INVALID = "This token is not valid: it is broken, or its key is unknown, revoked or another."
_loaded = lru_cache(maxsize=1_000)(signing.loaded)


class TokenRefused(Exception):
    """A token that opens nothing. ``code`` is for programs, ``message`` for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class _Good:
    """A token that was verified by ``holder``, until ``ends`` (seconds since 1970)."""

    holder: Holder
    caller: Caller
    ends: float


_kept: LRUCache[str, _Good] = LRUCache(KEPT)
_lock = Lock()


class _Exact(jwt.PyJWT):
    """Reads the claim ``params`` as a call's body is read: its numbers keep all their digits.

    PyJWT by itself makes doubles of them, and takes the last of two claims of one name.
    """

    def _decode_payload(self, decoded: dict[str, Any]) -> dict[str, Any]:
        try:
            payload = exact_json.read(decoded["payload"])
        except ValueError as error:
            msg = f"Invalid payload string: {error}"
            raise jwt.DecodeError(msg) from error
        if not isinstance(payload, dict):
            raise jwt.DecodeError("Invalid payload string: must be a json object")
        return {name: _plain(name, value) for name, value in payload.items()}


def _plain(name: str, value: Any) -> Any:
    """Seconds as doubles: PyJWT makes an ``int`` of them, for hours of a Decimal of 1e999999999."""
    return float(value) if isinstance(value, Decimal) and name != "params" else value


_jwt = _Exact()


def find(token: str) -> Caller:
    """Who calls by ``token``; raises TokenRefused.

    A token is remembered as good for as long as its key is: half a second.
    """
    with _lock:
        good = _kept.get(token)
    if good is None or find_holder(good.holder.prefix) is not good.holder:
        good = _verify(token)
        with _lock:
            _kept[token] = good
    if good.ends <= time.time():
        raise TokenRefused("token_expired", "This token has expired. Get a new one.")
    return good.caller


def _verify(token: str) -> _Good:
    holder = _holder(token)
    payload = _payload(token, holder)
    try:
        said = claims.read(payload)
        return _Good(holder, _narrowed(holder, said), said.ends)
    except ClaimRefused as error:
        raise TokenRefused("token_claims", str(error)) from None


def _holder(token: str) -> Holder:
    """The key that a token names, by its header's ``kid`` or else its ``iss``."""
    if len(token) > MAX_LENGTH:
        raise TokenRefused("token_invalid", _INVALID)
    try:
        header = jwt.get_unverified_header(token)
        named = header["kid"] if "kid" in header else _unverified(token).get("iss")
    except (jwt.PyJWTError, RecursionError, ValueError):
        raise TokenRefused("token_invalid", _INVALID) from None
    plain = _HEADER.issuperset(header) and header.get("typ", "JWT") == "JWT"
    holder = None
    if plain and isinstance(named, str) and _PREFIX.match(named):
        holder = find_holder(named)
    if holder is None or not holder.algorithm or header.get("alg") != holder.algorithm:
        raise TokenRefused("token_invalid", _INVALID)
    return holder


def _unverified(token: str) -> dict[str, Any]:
    return _jwt.decode(token, options={"verify_signature": False})


def _payload(token: str, holder: Holder) -> dict[str, Any]:
    key = holder.signing_secret or _loaded(holder.public_key)
    options: Any = {"verify_aud": False, "verify_iss": False}
    try:
        payload = _jwt.decode(
            token, key, algorithms=[holder.algorithm], leeway=LEEWAY, options=options
        )
    except jwt.ExpiredSignatureError:
        raise TokenRefused("token_expired", "This token has expired. Get a new one.") from None
    except jwt.ImmatureSignatureError:
        detail = "This token is not valid yet (nbf, iat). Set its issuer's clock."
        raise TokenRefused("token_early", detail) from None
    except (jwt.PyJWTError, RecursionError, ValueError, OverflowError):
        raise TokenRefused("token_invalid", _INVALID) from None
    if payload.get("iss", holder.prefix) != holder.prefix:
        raise TokenRefused("token_invalid", _INVALID)
    return payload


def _narrowed(holder: Holder, said: Claims) -> Caller:
    """The key's caller, held to what the token says; raises ClaimRefused."""
    key = holder.caller
    if said.ends - said.issued > holder.token_seconds:
        longest = f"{holder.token_seconds:,}"
        msg = f"The token lasts longer than the {longest} seconds that its key allows (exp - iat)."
        raise ClaimRefused(msg)
    asked = frozenset(said.rights.queries or ())
    ends = datetime.fromtimestamp(said.ends, UTC)
    return replace(
        key,
        scopes=key.scopes & {Scope.QUERIES_RUN},
        expires_at=ends if key.expires_at is None else min(ends, key.expires_at),
        queries=asked if key.queries is None else asked & key.queries,
        sources=frozenset(),
        parameters=_parameters(key, said.rights.parameters),
        filters=tuple(filters.both(dict(key.filters), said.rights.row_filters).items()),
        subject=said.subject,
        rate=said.rate,
    )


def _parameters(key: Caller, given: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in key.parameters.items():
        if name in given and exact_json.storable(given[name]) != value:
            msg = f"The claim params sets {name}, which the token's key has fixed to another value."
            raise ClaimRefused(msg)
    return {**given, **key.parameters}
