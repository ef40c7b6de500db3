"""Certificates and keys as text (PEM, https://www.rfc-editor.org/rfc/rfc7468), looked at."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes


class BadPem(Exception):
    """The text is not what it should be; the message says what would be right."""


def certificates(text: str) -> list[x509.Certificate]:
    """The certificates of ``text``, one at the least; raises BadPem."""
    if "PRIVATE KEY-----" in text:
        raise BadPem("This holds a private key, which belongs in the client key alone.")
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except ValueError as error:
        msg = (
            "This is no certificate in PEM form. Paste the whole text, from "
            "-----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----."
        )
        raise BadPem(msg) from error


def private_key(text: str) -> PrivateKeyTypes:
    """The key of ``text``; raises BadPem, whose message has nothing of it."""
    try:
        return serialization.load_pem_private_key(text.encode(), password=None)
    except TypeError:
        msg = (
            "This key is locked by a passphrase. Unlock it first: openssl pkey -in key.pem. "
            "Millrace encrypts it at rest."
        )
    except ValueError:
        msg = (
            "This is no private key in PEM form. Paste the whole text, from "
            "-----BEGIN PRIVATE KEY----- to -----END PRIVATE KEY-----."
        )
    raise BadPem(msg)


def belong_together(certificate: str, key: str) -> bool:
    """Whether the first certificate is that of the key; raises BadPem."""
    own = private_key(key).public_key()
    return _bytes(certificates(certificate)[0].public_key()) == _bytes(own)


def _bytes(key: object) -> bytes:
    encoding = serialization.Encoding.DER
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(key.public_bytes(encoding, kind))  # type: ignore[attr-defined]
