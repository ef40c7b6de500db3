"""The keys that sign and verify tokens: secrets for HS256, public keys for EdDSA."""

from __future__ import annotations

import json
import secrets

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from tenants.rights import RightsRefused

_REFUSED = (
    "This is not an Ed25519 public key. Give it as PEM (-----BEGIN PUBLIC KEY-----) or as a JWK "
    "(kty OKP, crv Ed25519), without its private part."
)


def new_signing_secret() -> str:
    """384 random bits as URL-safe text, used as is (RFC 7518, 3.2 requires 256)."""
    return secrets.token_urlsafe(48)


def read_public_key(text: str) -> str:
    """Convert an Ed25519 public key from PEM or JWK to PEM; raises RightsRefused."""
    try:
        key = _of_jwk(text) if text.lstrip().startswith("{") else _of_pem(text)
    except (ValueError, TypeError, KeyError, UnsupportedAlgorithm, jwt.PyJWTError):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise RightsRefused("public_key", _REFUSED)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def _of_pem(text: str) -> object:
    return load_pem_public_key(text.strip().encode("ascii"))


def _of_jwk(text: str) -> object:
    document = json.loads(text)
    if "d" in document or document.get("crv") != "Ed25519":
        return None
    return jwt.PyJWK(document, algorithm="EdDSA").key


def loaded(pem: str) -> Ed25519PublicKey:
    """The key in a PEM text that ``read_public_key`` returned."""
    key = load_pem_public_key(pem.encode("ascii"))
    if not isinstance(key, Ed25519PublicKey):
        raise TypeError(pem)
    return key
