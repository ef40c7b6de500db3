"""Bodies by their content coding: every frame of them, and none that is cut short."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable

import brotli
import lz4.frame
import pytest
import zstandard

from millrace.embedded.clickhouse.compression import decode
from millrace.embedded.clickhouse.errors import EngineError

BODY = b"".join(b"%d\n" % number for number in range(500))


@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("lz4", lz4.frame.compress),
        ("zstd", zstandard.compress),
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("bz2", bz2.compress),
        ("xz", lzma.compress),
    ],
)
def test_a_body_is_refused_wherever_it_is_cut(coding: str, pack: Callable[[bytes], bytes]) -> None:
    packed = pack(BODY)
    assert b"".join(decode(coding, [packed, pack(BODY)])) == BODY * 2
    for end in range(1, len(packed)):
        for pieces in ([packed[:end]], [packed, packed[:end]]):
            with pytest.raises(EngineError, match=r"ends inside|not valid"):
                list(decode(coding, pieces))


def test_a_body_of_brotli_is_refused_wherever_it_is_cut() -> None:
    packed = brotli.compress(BODY)
    assert b"".join(decode("br", [packed[:9], packed[9:]])) == BODY
    for end in range(1, len(packed)):
        with pytest.raises(EngineError, match=r"ends inside|not valid"):
            list(decode("br", [packed[:end]]))
