"""Data of inserts in memory: up to a limit of each, and of all together."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from millrace.embedded.clickhouse import insert_buffer
from millrace.embedded.clickhouse.insert_buffer import Budget, Spool


def left(budget: Budget) -> int:
    return budget._left


def test_a_budget_gives_what_it_has_and_no_byte_more() -> None:
    budget = Budget(10)
    assert budget.take(4)
    assert not budget.take(7)
    assert budget.take(6)
    assert not budget.take(1)
    budget.give(6)
    assert budget.take(6)


def test_a_small_insert_is_read_to_its_end_before_the_engine_sees_any() -> None:
    budget = Budget(100)
    spool = Spool(budget)
    spool.fill(b"ab", iter([b"cd", b"ef"]))
    assert spool.whole == b"abcdef"
    assert list(spool) == [b"ab", b"cd", b"ef"]
    assert left(budget) == 96  # the head is part of the statement, which is in memory anyway
    spool.release()
    assert left(budget) == 100
    spool.release()
    assert left(budget) == 100


def test_an_empty_insert_is_whole() -> None:
    spool = Spool(Budget())
    assert spool.whole == b""
    spool.fill(b"", iter([]))
    assert spool.whole == b""
    assert list(spool) == []


@pytest.mark.parametrize(("size", "is_whole"), [(8, True), (9, False)])
def test_only_what_fits_into_a_pipe_is_passed_on_in_one_piece(
    size: int, is_whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(insert_buffer, "SMALL", 8)
    spool = Spool(Budget())
    spool.fill(b"ab", iter([bytes(size - 2)]))
    assert (spool.whole is not None) is is_whole
    assert b"".join(spool) == b"ab" + bytes(size - 2)


class Client:
    """Sends pieces, and counts those that were read."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces
        self.sent = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self.sent += 1
            yield piece


def test_a_large_insert_is_passed_on_as_it_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(insert_buffer, "EACH", 4)
    client, spool = Client(b"aa", b"bb", b"c", b"d"), Spool(Budget())
    spool.fill(b"", iter(client))
    assert client.sent == 3
    assert spool.whole is None
    assert b"".join(spool) == b"aabbcd"
    assert client.sent == 4


def test_where_the_memory_of_all_is_used_up_an_insert_is_passed_on_as_it_arrives() -> None:
    budget = Budget(3)
    client, spool = Client(b"aa", b"bb", b"cc"), Spool(budget)
    spool.fill(b"", iter(client))
    assert client.sent == 2
    assert spool.whole is None
    assert b"".join(spool) == b"aabbcc"
    spool.release()
    assert left(budget) == 3


def test_what_is_released_is_no_longer_passed_on() -> None:
    spool = Spool(Budget())
    spool.fill(b"a", iter([b"b"]))
    spool.release()
    assert list(spool) == []
