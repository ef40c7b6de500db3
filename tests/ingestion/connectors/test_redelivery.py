"""Messages of a queue that are in the table already, by their ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from ingestion.connectors.redelivery import Redelivery


@dataclass(frozen=True)
class Delivered:
    message_id: str
    given: bool
    redelivered: bool


def test_of_equal_messages_without_id_as_many_are_passed_over_as_landed() -> None:
    redelivery = Redelivery(Counter({"hash": 2}))
    again = Delivered("hash", given=False, redelivered=True)
    new = Delivered("hash", given=False, redelivered=False)
    assert redelivery.known([again, new, again, again]) == [True, False, True, False]


def test_an_id_that_a_sender_gave_is_looked_up_only_when_delivered_again() -> None:
    asked: list[set[str]] = []

    def landed(ids: Collection[str]) -> set[str]:
        asked.append(set(ids))
        return {"a"}

    redelivery = Redelivery(landed=landed)
    fresh = Delivered("a", given=True, redelivered=False)
    again = Delivered("a", given=True, redelivered=True)
    hashed = Delivered("a", given=False, redelivered=True)
    assert redelivery.known([fresh]) == [False]
    assert asked == []
    assert redelivery.known([fresh, again, hashed]) == [False, True, False]
    assert asked == [{"a"}]


def test_where_nothing_is_unsettled_new_messages_are_not_looked_at() -> None:
    fresh = Delivered("a", given=True, redelivered=False)
    assert Redelivery().known([fresh, fresh]) == [False, False]
    assert Redelivery().known([]) == []


def test_an_id_that_a_sender_gave_is_enough_and_counts_down() -> None:
    """The broker may not know that it delivers again: after its own crash, for example."""
    redelivery = Redelivery(Counter({"a": 1}))
    fresh = Delivered("a", given=True, redelivered=False)
    assert redelivery.known([fresh, fresh]) == [True, False]
    assert redelivery.known([fresh]) == [False]


def test_what_is_known_is_not_looked_up_and_an_id_that_is_not_there_is_new() -> None:
    asked: list[set[str]] = []

    def landed(ids: Collection[str]) -> set[str]:
        asked.append(set(ids))
        return set()

    redelivery = Redelivery(Counter({"a": 1}), landed)
    a, b = (Delivered(name, given=True, redelivered=True) for name in "ab")
    assert redelivery.known([a, b, b]) == [True, False, False]
    assert asked == [{"b"}]


def test_an_id_that_landed_says_nothing_of_a_new_message_with_it() -> None:
    """A sender may use an id again: only a message that is delivered again is looked up."""
    asked: list[set[str]] = []

    def landed(ids: Collection[str]) -> set[str]:
        asked.append(set(ids))
        return {"a", "b", "c"}

    again = Delivered("a", given=True, redelivered=True)
    new = Delivered("b", given=True, redelivered=False)
    hashed = Delivered("c", given=False, redelivered=True)
    assert Redelivery(landed=landed).known([again, new, hashed]) == [True, False, False]
    assert asked == [{"a"}]
