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

from millrace.embedded.clickhouse.compression import choose, decode, encoder
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


@pytest.mark.parametrize("coding", ["", " Identity "])
def test_a_body_without_a_coding_stays_and_may_be_read_on(coding: str) -> None:
    data = iter([b"a", b"b"])
    decoded = decode(coding, data)
    assert next(decoded) == b"a"
    del decoded
    assert next(data) == b"b"


def test_a_coding_that_is_not_known_is_refused_with_those_that_are() -> None:
    with pytest.raises(EngineError, match="'snappy' is not one of lz4, zstd") as refused:
        list(decode("snappy", [b"x"]))
    assert refused.value.code == 48


@pytest.mark.parametrize("coding", ["lz4", "zstd", "gzip", "deflate", "bz2", "xz", "br"])
def test_an_empty_body_has_no_frame_to_end(coding: str) -> None:
    assert list(decode(coding, [b"", b""])) == []


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("", ""),
        ("identity", ""),
        ("gzip, deflate, br", "gzip"),
        ("br;q=1.0, ZSTD ; q=0.5", "zstd"),
        ("deflate,lz4", "lz4"),
        ("xz, br", "br"),
    ],
)
def test_of_the_codings_that_a_client_takes_the_cheapest_is_chosen(
    accepted: str, coding: str
) -> None:
    assert choose(accepted) == coding


@pytest.mark.parametrize("coding", ["lz4", "zstd", "gzip", "deflate", "br"])
@pytest.mark.parametrize("level", [-5, 3, 99])
def test_a_result_is_read_again_whatever_its_level_and_pieces(coding: str, level: int) -> None:
    for pieces in ([], [BODY], [b"", BODY[:9], memoryview(BODY)[9:]]):
        packer = encoder(coding, level)
        packed = b"".join(packer.compress(piece) for piece in pieces) + packer.flush()
        assert b"".join(decode(coding, [packed])) == b"".join(map(bytes, pieces))
