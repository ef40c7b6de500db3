"""Whether a topic exists and may be read: what a broker's refusals prove, and what they don't."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import admin as kafka_admin

from ingestion.connectors.connection_trial import StepFailed
from ingestion.connectors.kafka.judging import commit_permission, read_permission, the_topic

READ, DESCRIBE = (
    getattr(kafka_admin, "AclOperation").READ,  # noqa: B009 - the type stubs lack it
    getattr(kafka_admin, "AclOperation").DESCRIBE,  # noqa: B009
)


def error(code: int) -> KafkaException:
    return KafkaException(KafkaError(code, "odd"))


class Answers:
    """A broker that answers about topics and groups by these; an exception is raised."""

    user = "u"

    def __init__(self, topic: Any = None, **groups: Any) -> None:
        self._topic, self._groups = topic, groups

    def topic(self, _: str) -> Any:
        return self._given(self._topic)

    def group(self, name: str) -> Any:
        return self._given(self._groups[name])

    @staticmethod
    def _given(answer: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(authorized_operations=answer, partitions=answer)


def asker(topic: Any = None, **groups: Any) -> Any:
    return Answers(topic, **groups)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([READ, DESCRIBE], "It may be read."),
        (None, "It may be read."),  # an old broker does not say
        (error(KafkaError.UNKNOWN_TOPIC_OR_PART), "Nothing forbids it."),
        (error(KafkaError._UNKNOWN_TOPIC), "Nothing forbids it."),
        (error(KafkaError.TOPIC_EXCEPTION), "Nothing forbids it."),
    ],
)
def test_what_nothing_forbids_may_be_read(answer: Any, said: str) -> None:
    assert read_permission(asker(answer), "t") == said


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([DESCRIBE], "may see the topic 't', but not read it"),
        (error(KafkaError.TOPIC_AUTHORIZATION_FAILED), "may not even see the topic 't'"),
        (error(KafkaError._TIMED_OUT), "The query failed: odd"),
    ],
)
def test_what_is_forbidden_is_said(answer: Any, said: str) -> None:
    with pytest.raises(StepFailed, match=said) as raised:
        read_permission(asker(answer), "t")
    if "may" in said:
        assert "User:u --operation Read --topic t" in raised.value.mend


def test_each_group_must_be_one_that_the_user_may_use() -> None:
    commit_permission(asker(a=[READ], b=None), ["a", "b"])
    with pytest.raises(StepFailed, match="consumer group 'b'") as raised:
        commit_permission(asker(a=[READ], b=[DESCRIBE]), ["a", "b"])
    assert "--group b" in raised.value.mend


def test_a_query_that_fails_proves_nothing_unless_it_is_refused() -> None:
    away, refused = error(KafkaError._TIMED_OUT), error(KafkaError.GROUP_AUTHORIZATION_FAILED)
    commit_permission(asker(a=away, b=[READ]), ["a", "b"])
    with pytest.raises(StepFailed, match="consumer group 'b'"):
        commit_permission(asker(a=away, b=refused), ["a", "b"])


@pytest.mark.parametrize(
    ("partitions", "said"), [([1], "It has 1 partition."), ([1, 2], "It has 2 partitions.")]
)
def test_a_topic_that_exists_says_how_many_partitions(partitions: list[int], said: str) -> None:
    assert the_topic(asker(partitions), "t") == said


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (KafkaError.TOPIC_EXCEPTION, "No topic can have the name 't'"),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, "There is no topic 't'"),
        (KafkaError._UNKNOWN_TOPIC, "There is no topic 't'"),
        (KafkaError._TIMED_OUT, "The query failed: odd"),
    ],
)
def test_a_topic_that_is_not_there_is_said(code: int, said: str) -> None:
    with pytest.raises(StepFailed, match=said):
        the_topic(asker(error(code)), "t")
