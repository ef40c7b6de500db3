"""The text of an API key: how it looks, how one is made, and what is kept of it.

    mr_<prefix, 10>_<secret, 32>_<checksum, 6>

All base 62. The prefix may be shown and searched for; the secret has 190 bits; the checksum is
the CRC-32 of what stands before it, so that a mistyped key is refused without a look-up, and
scanners of leaked secrets can tell a key from other text. Only the SHA-256 of the whole is kept:
a fast hash is enough for a secret that nobody can guess.

An operator's key has ``op_`` before that form. Its hash covers the ``op_`` too, and is looked up
among operators' keys alone, so that neither kind can stand in for the other.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from dataclasses import dataclass

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_PREFIX, _SECRET, _CHECKSUM = 10, 32, 6
_FORM = re.compile(
    rf"mr_([0-9A-Za-z]{{{_PREFIX}}})_[0-9A-Za-z]{{{_SECRET}}}_([0-9A-Za-z]{{{_CHECKSUM}}})\Z"
)
#: What an operator's key begins with.
OPERATOR_BEGINNING = "op_"


@dataclass(frozen=True)
class NewKey:
    """A key just made. ``plaintext`` is shown once and never kept; ``sha256`` is."""

    plaintext: str
    prefix: str
    sha256: bytes

    def __repr__(self) -> str:
        return f"NewKey(mr_{self.prefix}…)"


@dataclass(frozen=True)
class ParsedKey:
    """A key as it came, with the right form and checksum; whether it is known is not said."""

    prefix: str
    sha256: bytes


def generate() -> NewKey:
    prefix, secret = _random(_PREFIX), _random(_SECRET)
    body = f"mr_{prefix}_{secret}"
    plaintext = f"{body}_{_checksum(body)}"
    return NewKey(plaintext, prefix, digest(plaintext))


def digest(text: str) -> bytes:
    """The SHA-256 that is kept of a key."""
    return hashlib.sha256(text.encode()).digest()


def parse(text: str) -> ParsedKey | None:
    """The key in ``text``, or None where form or checksum is not a key's."""
    found = _FORM.match(text)
    if found is None or _checksum(text[: -_CHECKSUM - 1]) != found[2]:
        return None
    return ParsedKey(found[1], digest(text))


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = ""
    for _ in range(_CHECKSUM):
        number, digit = divmod(number, 62)
        digits = _ALPHABET[digit] + digits
    return digits
