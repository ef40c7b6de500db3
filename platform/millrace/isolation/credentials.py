"""Every kind of key and token that a caller may hold of a tenant."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.utils import timezone

from millrace.isolation.planted import Planted
from tenants import key_format
from tenants.models import Scope
from tenants.rights import Rights
from tenants.services import keys

#: Of the keys that are made for a check.
NAME = "check of the isolation"


@dataclass(frozen=True)
class Credential:
    """``kind`` for people; ``value`` of the Authorization header, '' for none.

    ``of`` is whose data it may see, None where it opens nothing. ``whole``: all of it.
    """

    kind: str
    value: str
    of: Planted | None
    whole: bool = False

    def __repr__(self) -> str:
        return f"Credential({self.kind})"


def good(one: Planted) -> list[Credential]:
    """Keys that open something: of every scope, of each alone, held to some of it, and tokens."""
    everything = tuple(str(scope) for scope in Scope)
    filters = {one.shared: "length(word) > 0"}
    return [
        _key(one, "a key of every scope", Rights(everything), whole=True),
        _key(one, "a key of the usual scopes", Rights()),
        *(_key(one, f"a key of {scope} alone", Rights((scope,))) for scope in everything),
        _key(one, "a key of one query", Rights(everything, queries=(one.shared,))),
        _key(one, "a key of one source", Rights(everything, sources=(one.stream,))),
        _key(one, "a key of some rows", Rights(everything, row_filters=filters)),
        _token(one, "a signed token", {"queries": [one.shared, one.own_query]}),
        _token(one, "a signed token of some rows", {"queries": [one.shared], "filter": filters}),
        _by_key_pair(one, "a token signed by a private key"),
    ]


def bad(one: Planted) -> list[Credential]:
    """What opens nothing, though most of it has to do with the tenant."""
    everything = tuple(str(scope) for scope in Scope)
    expired = _key(one, "an expired key", Rights(everything))
    revoked = _key(one, "a revoked key", Rights(everything))
    one.keys[-2].expires_at = timezone.now() - timedelta(seconds=1)
    one.keys[-2].save(update_fields=["expires_at"])
    keys.revoke_key(one.keys[-1])
    mistyped = expired.value[:-1] + ("0" if expired.value[-1] != "0" else "1")
    queries = {"queries": [one.shared]}
    of_revoked = _token(one, "a token of a revoked key", queries)
    keys.revoke_key(one.keys[-1])
    forged = _token(one, "a token by another secret", queries, secret="x" * 43)
    elsewhere = Rights(everything, networks=("192.0.2.0/24",))
    page = Rights(everything, origins=("https://page.example",))
    refused = [
        expired,
        revoked,
        of_revoked,
        forged,
        _token(one, "an expired token", queries, seconds=-3600),
        _token(one, "a token that names no query", {}),
        _key(one, "a key for another network", elsewhere),
        _key(one, "a key for a page of another origin", page),
    ]
    return [
        *map(_of_nobody, refused),
        Credential("no key", "", None),
        Credential("a mistyped key", mistyped, None),
        Credential("a key that nobody has", f"Bearer {key_format.generate().plaintext}", None),
        Credential("another scheme", f"Basic {expired.value[7:]}", None),
        Credential("a token without a signature", "Bearer eyJhbGciOiJub25lIn0.e30.", None),
    ]


def suspended(one: Planted) -> list[Credential]:
    """Good keys of a tenant that is suspended."""
    return [_of_nobody(each, "of a suspended tenant: ") for each in good(one)]


def _of_nobody(one: Credential, prefix: str = "") -> Credential:
    return Credential(prefix + one.kind, one.value, None)


def _key(one: Planted, kind: str, rights: Rights, *, whole: bool = False) -> Credential:
    row, text = keys.create_key(one.tenant, NAME, rights=rights)
    one.keys.append(row)
    return Credential(kind, f"Bearer {text}", one, whole)


def _token(
    one: Planted,
    kind: str,
    claims: dict[str, Any],
    *,
    seconds: int = 600,
    secret: str = "",
) -> Credential:
    """A token of a key of its own, as the tenant's backend would sign it."""
    rights = Rights((str(Scope.QUERIES_RUN),))
    row, _, own = keys.create_signing_key(one.tenant, NAME, rights=rights, by_secret=True)
    one.keys.append(row)
    now = int(time.time())
    payload = {"iat": now + min(seconds, 0), "exp": now + seconds, **claims}
    token = jwt.encode(payload, secret or own, "HS256", headers={"kid": row.prefix})
    return Credential(kind, f"Bearer {token}", one)


def _by_key_pair(one: Planted, kind: str) -> Credential:
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    rights = Rights((str(Scope.QUERIES_RUN),))
    row, _, _ = keys.create_signing_key(one.tenant, NAME, rights=rights, public_key=public.decode())
    one.keys.append(row)
    now = int(time.time())
    payload = {"iat": now, "exp": now + 600, "queries": [one.shared, one.own_query]}
    token = jwt.encode(payload, private, "EdDSA", headers={"kid": row.prefix})
    return Credential(kind, f"Bearer {token}", one)
