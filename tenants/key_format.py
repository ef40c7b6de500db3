"""The text of an API key: its format, how it is generated, and what Millrace stores of it.

    mr_<prefix, 10>_<secret, 32>_<checksum, 6>

All parts are base 62. The prefix may be shown and searched for; the secret has 190 bits; the
checksum is the CRC-32 of everything before it. With the checksum a mistyped key is refused without
a look-up, and scanners of leaked secrets can recognize a key. Millrace stores only the SHA-256 of
the whole key: a fast hash is enough for a secret that can't be guessed.

An operator's key has ``op_`` before this form. Its hash covers the ``op_`` too and is looked up
only among operators' keys, so neither kind can replace the other.
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
    """A new key. ``plaintext`` is shown once and never stored; ``sha256`` is stored."""

    plaintext: str
    prefix: str
    sha256: bytes

    def __repr__(self) -> str:
        return f"NewKey(mr_{self.prefix}…)"


@dataclass(frozen=True)
class ParsedKey:
    """A key with a valid form and checksum, which may still be unknown."""

    prefix: str
    sha256: bytes


def generate() -> NewKey:
    prefix, secret = _random(_PREFIX), _random(_SECRET)
    body = f"mr_{prefix}_{secret}"
    plaintext = f"{body}_{_checksum(body)}"
    return NewKey(plaintext, prefix, digest(plaintext))


def digest(text: str) -> bytes:
    """The SHA-256 of a key, which is what Millrace stores."""
    return hashlib.sha256(text.encode()).digest()


def parse(text: str) -> ParsedKey | None:
    """The key in ``text``, or None if its form or checksum is not valid."""
    match = _FORM.match(text)
    if match is None or _checksum(text[: -_CHECKSUM - 1]) != match[2]:
        return None
    return ParsedKey(match[1], digest(text))


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = ""
    for _ in range(_CHECKSUM):
        number, digit = divmod(number, 62)
        digits = _ALPHABET[digit] + digits
    return digits
