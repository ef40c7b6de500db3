"""Every kind of API key and token that a caller may use with a tenant."""

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

#: The name of the keys that a check creates.
NAME = "isolation check"


@dataclass(frozen=True)
class Credential:
    """``kind`` describes it to people; ``value`` is the Authorization header, '' for no header.

    ``of`` is the tenant whose data it may see, None if it must be refused. ``whole`` is true if it
    may see all of that tenant's data.
    """

    kind: str
    value: str
    of: Planted | None
    whole: bool = False

    def __repr__(self) -> str:
        return f"Credential({self.kind})"


def good(planted: Planted) -> list[Credential]:
    """Valid credentials: keys with all scopes, with one scope, with narrower rights, and tokens."""
    everything = tuple(str(scope) for scope in Scope)
    filters = {planted.shared: "length(word) > 0"}
    return [
        _key(planted, "a key of every scope", Rights(everything), whole=True),
        _key(planted, "a key of the usual scopes", Rights()),
        *(_key(planted, f"a key of {scope} alone", Rights((scope,))) for scope in everything),
        _key(planted, "a key of one query", Rights(everything, queries=(planted.shared,))),
        _key(planted, "a key of one source", Rights(everything, sources=(planted.stream,))),
        _key(planted, "a key of some rows", Rights(everything, row_filters=filters)),
        _token(planted, "a signed token", {"queries": [planted.shared, planted.own_query]}),
        _token(
            planted, "a signed token of some rows", {"queries": [planted.shared], "filter": filters}
        ),
        _by_key_pair(planted, "a token signed by a private key"),
    ]


def bad(planted: Planted) -> list[Credential]:
    """Invalid credentials, most of them derived from a real key of the tenant."""
    everything = tuple(str(scope) for scope in Scope)
    expired = _key(planted, "an expired key", Rights(everything))
    revoked = _key(planted, "a revoked key", Rights(everything))
    planted.keys[-2].expires_at = timezone.now() - timedelta(seconds=1)
    planted.keys[-2].save(update_fields=["expires_at"])
    keys.revoke_key(planted.keys[-1])
    mistyped = expired.value[:-1] + ("0" if expired.value[-1] != "0" else "1")
    queries = {"queries": [planted.shared]}
    of_revoked = _token(planted, "a token of a revoked key", queries)
    keys.revoke_key(planted.keys[-1])
    forged = _token(planted, "a token by another secret", queries, secret="x" * 43)
    elsewhere = Rights(everything, networks=("192.0.2.0/24",))
    page = Rights(everything, origins=("https://page.example",))
    refused = [
        expired,
        revoked,
        of_revoked,
        forged,
        _token(planted, "an expired token", queries, seconds=-3600),
        _token(planted, "a token that names no query", {}),
        _key(planted, "a key for another network", elsewhere),
        _key(planted, "a key for a page of another origin", page),
    ]
    return [
        *map(_refused, refused),
        Credential("no key", "", None),
        Credential("a mistyped key", mistyped, None),
        Credential("an unknown key", f"Bearer {key_format.generate().plaintext}", None),
        Credential("another scheme", f"Basic {expired.value[7:]}", None),
        Credential("a token without a signature", "Bearer eyJhbGciOiJub25lIn0.e30.", None),
    ]


def suspended(planted: Planted) -> list[Credential]:
    """Valid keys of a suspended tenant, which must be refused."""
    return [_refused(credential, "of a suspended tenant: ") for credential in good(planted)]


def _refused(credential: Credential, prefix: str = "") -> Credential:
    return Credential(prefix + credential.kind, credential.value, None)


def _key(planted: Planted, kind: str, rights: Rights, *, whole: bool = False) -> Credential:
    row, text = keys.create_key(planted.tenant, NAME, rights=rights)
    planted.keys.append(row)
    return Credential(kind, f"Bearer {text}", planted, whole)


def _token(
    planted: Planted,
    kind: str,
    claims: dict[str, Any],
    *,
    seconds: int = 600,
    secret: str = "",
) -> Credential:
    """A token signed by a new key, as the tenant's backend would sign it."""
    rights = Rights((str(Scope.QUERIES_RUN),))
    row, _, own = keys.create_signing_key(planted.tenant, NAME, rights=rights, by_secret=True)
    planted.keys.append(row)
    now = int(time.time())
    payload = {"iat": now + min(seconds, 0), "exp": now + seconds, **claims}
    token = jwt.encode(payload, secret or own, "HS256", headers={"kid": row.prefix})
    return Credential(kind, f"Bearer {token}", planted)


def _by_key_pair(planted: Planted, kind: str) -> Credential:
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    rights = Rights((str(Scope.QUERIES_RUN),))
    pem = public.decode()
    row, _, _ = keys.create_signing_key(planted.tenant, NAME, rights=rights, public_key=pem)
    planted.keys.append(row)
    now = int(time.time())
    payload = {"iat": now, "exp": now + 600, "queries": [planted.shared, planted.own_query]}
    token = jwt.encode(payload, private, "EdDSA", headers={"kid": row.prefix})
    return Credential(kind, f"Bearer {token}", planted)
