from __future__ import annotations

import hashlib
import string

import pytest

from tenants import key_format


def test_a_key_has_a_prefix_a_secret_and_a_checksum() -> None:
    new = key_format.generate()
    mark, prefix, secret, checksum = new.plaintext.split("_")
    assert (mark, prefix) == ("mr", new.prefix)
    assert [len(part) for part in (prefix, secret, checksum)] == [10, 32, 6]
    assert set(prefix + secret + checksum) <= set(string.ascii_letters + string.digits)
    assert new.sha256 == hashlib.sha256(new.plaintext.encode()).digest()
    parsed = key_format.parse(new.plaintext)
    assert parsed is not None
    assert (parsed.prefix, parsed.sha256) == (new.prefix, new.sha256)


def test_every_single_mistyped_character_is_noticed_without_a_look_up() -> None:
    text = key_format.generate().plaintext
    for at in range(len(text)):
        other = "A" if text[at] != "A" else "B"
        assert key_format.parse(text[:at] + other + text[at + 1 :]) is None, at


@pytest.mark.parametrize("text", ["", "mr_", "Bearer x", "mr_" + "a" * 50, "ä" * 40, "mr_\n"])
def test_other_text_is_no_key(text: str) -> None:
    assert key_format.parse(text) is None


def test_keys_do_not_show_themselves() -> None:
    new = key_format.generate()
    assert new.plaintext not in repr(new)
