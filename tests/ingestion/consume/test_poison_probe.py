"""Reading with caution: pieces, one partition at a time, and the message that is condemned."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import Any

import pytest

from ingestion.connectors.chunk import chunk
from ingestion.consume.recovery import poison_probe
from ingestion.consume.recovery.poison_probe import CRASHES
from ingestion.models import Caution
from tests.ingestion.consume.slice_of_fakes import messages


@dataclass(eq=False)
class Partition:
    """The part of a buffer that matters here."""

    under_way: object = None


@pytest.fixture(autouse=True)
def _fresh() -> None:
    """Forget the buffer that another test tried."""
    gc.collect()


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Collects what is stored of a caution."""
    saved: list[tuple[str, int]] = []
    monkeypatch.setattr(
        Caution, "save", lambda self, **_: saved.append((self.suspect, self.crashes))
    )
    return saved


def test_one_partition_at_a_time_is_tried() -> None:
    first, second = Partition(), Partition()
    assert poison_probe.may_try(first)
    first.under_way = "a batch"
    assert not poison_probe.may_try(second)
    assert poison_probe.may_try(first)
    first.under_way = None
    assert poison_probe.may_try(second)


def test_a_buffer_that_is_gone_holds_nobody_up() -> None:
    gone = Partition()
    assert poison_probe.may_try(gone)
    gone.under_way = "a batch"
    del gone
    gc.collect()
    assert poison_probe.may_try(Partition())


def test_a_piece_is_taken_from_the_front_and_the_rest_waits() -> None:
    waiting = [messages(0, 5), messages(5, 2)]
    assert poison_probe.piece(waiting, 3).rows["_offset"].to_pylist() == [0, 1, 2]
    assert [piece.rows["_offset"].to_pylist() for piece in waiting] == [[3, 4], [5, 6]]
    assert poison_probe.piece(waiting, 3).rows["_offset"].to_pylist() == [3, 4]


def test_several_messages_are_never_condemned(saved: list[Any]) -> None:
    caution = Caution(suspect="0", crashes=CRASHES)
    assert not poison_probe.is_condemned(caution, messages(0, 2))
    assert saved == []


def test_a_message_is_noted_before_it_is_tried(saved: list[Any]) -> None:
    """After a crash, the stored suspect names the message."""
    caution = Caution(suspect="6", crashes=2)
    assert not poison_probe.is_condemned(caution, messages(7, 1))
    assert saved == [("7", 0)]


def test_it_is_condemned_when_so_many_owners_died_of_it_alone(saved: list[Any]) -> None:
    named = chunk(0, [9], [0], [b"{}"], ids=["m-9"])
    assert poison_probe.is_condemned(Caution(suspect="m-9", crashes=CRASHES), named)
    assert not poison_probe.is_condemned(Caution(suspect="m-9", crashes=CRASHES - 1), named)
    assert saved == []
