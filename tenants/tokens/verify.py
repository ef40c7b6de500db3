"""Verifies tokens, and finds the caller behind them.

Before its signature is verified, only the name of its key is taken from a token. That key decides
the algorithm and what verifies the signature. A header that brings a key or a key's address (jwk,
jku, x5u …) is refused.
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

#: The longest token, in characters.
MAX_LENGTH = 8 * 1024
#: Seconds by which an issuer's clock may be ahead. A token's end has no such leeway.
LEEWAY = 30
#: Verified tokens that one process remembers.
KEPT = 10_000

_HEADER = frozenset({"alg", "typ", "kid"})
_PREFIX = re.compile(r"[0-9A-Za-z]{10}\Z")
_INVALID = "This token is not valid: it is malformed, or its key is unknown, revoked or wrong."
_loaded = lru_cache(maxsize=1_000)(signing.loaded)


class TokenRefused(Exception):
    """The token is refused. ``code`` is for programs, ``message`` for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class _Good:
    """A token that was verified with the key ``holder``. ``ends`` is in seconds since 1970."""

    holder: Holder
    caller: Caller
    ends: float


_kept: LRUCache[str, _Good] = LRUCache(KEPT)
_lock = Lock()


class _Exact(jwt.PyJWT):
    """A PyJWT that reads claims as exactly and strictly as request bodies.

    Numbers in ``params`` keep all their digits. PyJWT itself turns them into doubles, and keeps the
    last of two claims with the same name.
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
    """Times as doubles: PyJWT calls ``int``, which takes hours for a Decimal of 1e999999999."""
    return float(value) if isinstance(value, Decimal) and name != "params" else value


_jwt = _Exact()


def find(token: str) -> Caller:
    """The caller behind ``token``; raises TokenRefused.

    A verified token is remembered for as long as its key is: half a second.
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
        token_claims = claims.read(payload)
        return _Good(holder, _narrowed(holder, token_claims), token_claims.ends)
    except ClaimRefused as error:
        raise TokenRefused("token_claims", str(error)) from None


def _holder(token: str) -> Holder:
    """The key that a token names by ``kid`` in its header, or else by its claim ``iss``."""
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
        detail = "This token is not valid yet (nbf, iat). Check the issuer's clock."
        raise TokenRefused("token_early", detail) from None
    except (jwt.PyJWTError, RecursionError, ValueError, OverflowError):
        raise TokenRefused("token_invalid", _INVALID) from None
    if payload.get("iss", holder.prefix) != holder.prefix:
        raise TokenRefused("token_invalid", _INVALID)
    return payload


def _narrowed(holder: Holder, token_claims: Claims) -> Caller:
    """The key's caller, restricted by the token's claims; raises ClaimRefused."""
    key = holder.caller
    if token_claims.ends - token_claims.issued > holder.token_seconds:
        longest = f"{holder.token_seconds:,}"
        msg = f"The token lasts longer than the {longest} seconds that its key allows (exp - iat)."
        raise ClaimRefused(msg)
    queries = frozenset(token_claims.rights.queries or ())
    ends = datetime.fromtimestamp(token_claims.ends, UTC)
    return replace(
        key,
        scopes=key.scopes & {Scope.QUERIES_RUN},
        expires_at=ends if key.expires_at is None else min(ends, key.expires_at),
        queries=queries if key.queries is None else queries & key.queries,
        sources=frozenset(),
        parameters=_parameters(key, token_claims.rights.parameters),
        filters=tuple(filters.both(dict(key.filters), token_claims.rights.row_filters).items()),
        subject=token_claims.subject,
        rate=token_claims.rate,
    )


def _parameters(key: Caller, given: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in key.parameters.items():
        if name in given and exact_json.storable(given[name]) != value:
            msg = f"The claim params sets {name}, but the token's key fixes it to another value."
            raise ClaimRefused(msg)
    return {**given, **key.parameters}
