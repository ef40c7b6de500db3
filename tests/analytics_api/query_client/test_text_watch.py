"""Whether a result is UTF-8 is found out in pieces, however it was compressed."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Callable

import pytest
import zstandard

from analytics_api.query_client.text import STEP_BYTES, TextWatch

PACKED: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}
#: No power of two, and all of it is the same: packed, it is a few thousand bytes.
LARGE = b"a" * 40_000_003


def watched(encoding: str, text: bytes, *, replaced: bool, size: int = 1024 * 1024) -> TextWatch:
    watch = TextWatch(replaced=replaced)
    watch.begin(encoding)
    packed = PACKED[encoding](text)
    for start in range(0, len(packed), size):
        watch.feed(packed[start : start + size])
    watch.feed(b"", last=True)
    return watch


@pytest.mark.parametrize("replaced", [False, True])
@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_what_a_few_bytes_stand_for_is_not_held_in_memory(encoding: str, replaced: bool) -> None:
    packed = PACKED[encoding](LARGE)
    assert len(packed) < 64 * 1024
    watch = TextWatch(replaced=replaced)
    watch.begin(encoding)
    tracemalloc.start()
    try:
        watch.feed(packed, last=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert not watch.is_suspect
    assert peak < 8 * STEP_BYTES


@pytest.mark.parametrize("size", [1, 7, 1024 * 1024])
@pytest.mark.parametrize("encoding", list(PACKED))
def test_bytes_are_found_across_pieces(encoding: str, size: int) -> None:
    for count in (0, 1, STEP_BYTES - 1, STEP_BYTES):
        text = b"a" * count if size > 1 or encoding else b"a" * min(count, 5)
        assert watched(encoding, text + b"\xc3", replaced=False, size=size).is_suspect
        assert watched(encoding, text + b"\xff" + text, replaced=False, size=size).is_suspect
        assert watched(encoding, text + "\ufffd".encode(), replaced=True, size=size).is_suspect
        whole = text + "ü€😀".encode() + text
        assert not watched(encoding, whole, replaced=False, size=size).is_suspect
        assert not watched(encoding, whole, replaced=True, size=size).is_suspect
