"""Validates certificates and keys in PEM form (https://www.rfc-editor.org/rfc/rfc7468)."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes


class BadPem(Exception):
    """The text is not valid PEM of the expected kind; the message says what to enter."""


def certificates(text: str) -> list[x509.Certificate]:
    """The certificates in ``text``, at least one; raises BadPem."""
    if "PRIVATE KEY-----" in text:
        raise BadPem("This contains a private key. Move it to the client key.")
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except ValueError as error:
        msg = (
            "This is not a certificate in PEM form. Paste the whole text, from "
            "-----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----."
        )
        raise BadPem(msg) from error


def private_key(text: str) -> PrivateKeyTypes:
    """The key in ``text``; raises BadPem, whose message never contains any of the key."""
    try:
        return serialization.load_pem_private_key(text.encode(), password=None)
    except TypeError:
        msg = (
            "This key is protected by a passphrase. Remove the passphrase first: openssl pkey -in "
            "key.pem. Millrace encrypts the key at rest."
        )
    except ValueError:
        msg = (
            "This is not a private key in PEM form. Paste the whole text, from "
            "-----BEGIN PRIVATE KEY----- to -----END PRIVATE KEY-----."
        )
    raise BadPem(msg)


def belong_together(certificate: str, key: str) -> bool:
    """Whether the first certificate belongs to the key; raises BadPem."""
    own = private_key(key).public_key()
    return _bytes(certificates(certificate)[0].public_key()) == _bytes(own)


def _bytes(key: object) -> bytes:
    encoding = serialization.Encoding.DER
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(key.public_bytes(encoding, kind))  # type: ignore[attr-defined]
