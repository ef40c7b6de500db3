"""Committing positions for Kafka's tools: rarely, in rounds, and again if the broker was away."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from ingestion.connectors.kafka import commits
from ingestion.connectors.kafka.commits import GROUPS, ROUND, Commits

AWAY = KafkaError._TRANSPORT


class Groups:
    """A broker that notes the positions of groups, and answers when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0
        self.sent: list[tuple[str, dict[tuple[str, int], int]]] = []
        self.answers: list[Future[Any]] = []
        self.refuses: Exception | None = None
        self.commits = Commits(lambda: self, lambda: self.now)  # type: ignore[arg-type, return-value]

    def alter_consumer_group_offsets(
        self, asked: list[Any], request_timeout: float
    ) -> dict[str, Future[Any]]:
        if self.refuses is not None:
            raise self.refuses
        (one,) = asked
        offsets = {(at.topic, at.partition): at.offset for at in one.topic_partitions}
        self.sent.append((one.group_id, offsets))
        self.answers.append(Future())
        return {one.group_id: self.answers[-1]}

    def round(self) -> list[tuple[str, dict[tuple[str, int], int]]]:
        """What is committed by the next round."""
        self.now += ROUND
        before = len(self.sent)
        self.commits.send()
        return self.sent[before:]

    def answer(self, number: int, code: int | None = None) -> None:
        """Answer the commit of this number, by an error if there is a code."""
        if code is None:
            self.answers[number].set_result(None)
        else:
            self.answers[number].set_exception(KafkaException(KafkaError(code)))


@pytest.fixture
def groups() -> Groups:
    return Groups()


def test_a_round_commits_the_newest_position_of_each_partition(groups: Groups) -> None:
    groups.commits.note("g", "t", {0: 5, 1: 7})
    groups.commits.note("g", "t", {0: 6})
    groups.commits.note("h", "u", {0: 1})
    assert groups.round() == [("g", {("t", 0): 6, ("t", 1): 7}), ("h", {("u", 0): 1})]
    assert groups.round() == []


def test_between_two_rounds_nothing_is_committed(groups: Groups) -> None:
    groups.commits.note("g", "t", {0: 5})
    groups.now += ROUND - 0.1
    groups.commits.send()
    assert groups.sent == []
    groups.now += 0.1
    groups.commits.send()
    groups.answer(0)
    groups.commits.note("g", "t", {0: 6})
    groups.now += ROUND - 0.1
    groups.commits.send()
    assert len(groups.sent) == 1


def test_a_round_takes_the_groups_that_have_waited_longest(groups: Groups) -> None:
    for number in range(GROUPS + 2):
        groups.commits.note(f"g{number}", "t", {0: 1})
    assert [group for group, _ in groups.round()] == [f"g{number}" for number in range(GROUPS)]
    for number in range(GROUPS):
        groups.answer(number)
    groups.commits.note("g0", "t", {0: 2})
    assert [group for group, _ in groups.round()] == [f"g{GROUPS}", f"g{GROUPS + 1}", "g0"]


# --- Failures -----------------------------------------------------------------------------------


def test_a_commit_that_fails_is_sent_again_though_nothing_new_comes(groups: Groups) -> None:
    """Otherwise a stream at rest would show lag in Kafka's tools until its next message."""
    groups.commits.note("g", "t", {0: 5})
    groups.round()
    groups.answer(0, AWAY)
    assert groups.round() == [("g", {("t", 0): 5})]
    groups.answer(1)
    assert groups.round() == []


def test_what_was_noted_since_is_newer_than_what_failed(groups: Groups) -> None:
    groups.commits.note("g", "t", {0: 5, 1: 7})
    groups.round()
    groups.commits.note("g", "t", {0: 6})
    groups.answer(0, AWAY)
    assert groups.round() == [("g", {("t", 0): 6, ("t", 1): 7})]


def test_no_commit_overtakes_another_of_its_group(groups: Groups) -> None:
    groups.commits.note("g", "t", {0: 5})
    groups.round()
    groups.commits.note("g", "t", {0: 6})
    groups.commits.note("h", "t", {0: 1})
    assert groups.round() == [("h", {("t", 0): 1})]
    groups.answer(0)
    assert groups.round() == [("g", {("t", 0): 6})]


@pytest.mark.parametrize(
    "code",
    [KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError.UNKNOWN_MEMBER_ID, KafkaError._INVALID_ARG],
)
def test_a_commit_that_is_refused_is_not_sent_again(code: int, groups: Groups) -> None:
    groups.commits.note("g", "t", {0: 5})
    groups.round()
    groups.answer(0, code)
    assert groups.round() == []


def test_a_commit_that_the_client_can_not_send_now_is_sent_later(groups: Groups) -> None:
    groups.commits.note("g", "t", {0: 5})
    groups.refuses = KafkaException(KafkaError(AWAY))
    assert groups.round() == []
    groups.refuses = None
    assert groups.round() == [("g", {("t", 0): 5})]


def test_a_client_that_refuses_hurts_no_other_group(groups: Groups) -> None:
    groups.commits.note("g", "t", {0: 5})
    groups.refuses = KafkaException(KafkaError(KafkaError._INVALID_ARG))
    assert groups.round() == []
    groups.refuses = None
    groups.commits.note("h", "t", {0: 1})
    assert groups.round() == [("h", {("t", 0): 1})]


# --- When a reader closes -----------------------------------------------------------------------


def test_a_reader_that_closes_commits_at_once_and_for_the_last_time(groups: Groups) -> None:
    """Another owner may commit from then on: to send it again would take the position back."""
    groups.commits.note("g", "t", {0: 5})
    groups.commits.note("h", "t", {0: 1})
    groups.round()
    groups.commits.note("g", "t", {0: 6})
    groups.commits.flush("g")
    assert groups.sent[2:] == [("g", {("t", 0): 6})]
    for number in range(3):
        groups.answer(number, AWAY)
    assert groups.round() == [("h", {("t", 0): 1})]


def test_a_reader_without_news_commits_nothing_when_it_closes(groups: Groups) -> None:
    groups.commits.flush("g")
    assert groups.sent == []
    assert groups.round() == []


def test_the_last_answers_are_waited_for_but_not_for_ever(
    groups: Groups, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[tuple[list[Future[Any]], float]] = []
    monkeypatch.setattr(commits, "wait", lambda futures, seconds: waits.append((futures, seconds)))
    groups.commits.note("g", "t", {0: 5})
    groups.commits.flush("g")
    groups.commits.close()
    assert waits == [([groups.answers[0]], commits.PATIENCE)]
