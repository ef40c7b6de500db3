"""Microseconds of CPU for checking a caller's API key or token, once it is cached."""

from __future__ import annotations

import argparse
import hashlib
import statistics
import time
from collections.abc import Callable

from bench.installation import Installation
from bench.report import Result, compared

_ROUNDS, _CALLS = 50, 1_000


def run(installation: Installation, given: argparse.Namespace) -> list[Result]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    from tenants.rights import Rights
    from tenants.services import keys

    pair = Ed25519PrivateKey.generate()
    public = pair.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    tenant, rights = installation.tenant, Rights()
    by_secret, _, secret = keys.create_signing_key(tenant, "hs", rights=rights, by_secret=True)
    by_pair, _, _ = keys.create_signing_key(tenant, "ed", rights=rights, public_key=public.decode())
    known = {hashlib.sha256(installation.key.encode()).digest(): object()}
    bare = _result(
        "sha256 and a dict",
        lambda: known[hashlib.sha256(installation.key.encode()).digest()],
    )
    return compared(
        _checked("an API key", installation.key),
        [
            bare,
            _checked("a token, HS256", _token(by_secret.prefix, secret, "HS256")),
            _checked("a token, EdDSA", _token(by_pair.prefix, pair, "EdDSA")),
        ],
    )


def _token(prefix: str, material: object, algorithm: str) -> str:
    import jwt

    now = int(time.time())
    claims = {"iat": now, "exp": now + 3600, "queries": ["layer"], "params": {"below": 7}}
    return jwt.encode(claims, material, algorithm, headers={"kid": prefix})  # type: ignore[arg-type]


def _checked(name: str, text: str) -> Result:
    from django.test import RequestFactory
    from rest_framework.request import Request

    from tenants.rest.authentication import APIKeyAuthentication

    check = APIKeyAuthentication()
    request = Request(RequestFactory().get("/", headers={"Authorization": f"Bearer {text}"}))
    return _result(name, lambda: check.authenticate(request))


def _result(name: str, call: Callable[[], object]) -> Result:
    """The median over rounds. They include the look-up in Postgres every half second."""
    call()
    spent = []
    for _ in range(_ROUNDS):
        before = time.process_time()
        for _ in range(_CALLS):
            call()
        spent.append((time.process_time() - before) / _CALLS * 1e6)
    value = statistics.median(spent)
    return Result(name, value, "µs", cpu={"check": value})
