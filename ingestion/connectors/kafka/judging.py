"""The trial's steps for a topic: whether it exists and may be read."""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import admin as kafka_admin

from ingestion.connectors.connection_trial import StepFailed
from ingestion.connectors.kafka.asking import Asker

_UNKNOWN = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
}

#: The type stubs lack it.
_OPERATION: Any = kafka_admin.AclOperation  # type: ignore[attr-defined]
_NO_NAME = KafkaError.TOPIC_EXCEPTION


def read_permission(asker: Asker, topic: str) -> str:
    """Check that the topic may be read, if it exists; raises StepFailed."""
    try:
        described = asker.topic(topic)
    except KafkaException as error:
        code = error.args[0].code()
        if code in {*_UNKNOWN, _NO_NAME}:
            return "Nothing forbids it."
        if code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            said = f"The user may not even see the topic {topic!r}, if it exists."
            raise StepFailed(said, _grant(asker, f"--topic {topic}")) from error
        raise _unexpected(error) from error
    allowed = described.authorized_operations
    if allowed and _OPERATION.READ not in allowed:
        said = f"The user may see the topic {topic!r}, but not read it."
        raise StepFailed(said, _grant(asker, f"--topic {topic}"))
    return "It may be read."


def _grant(asker: Asker, resource: str) -> str:
    principal = f"--allow-principal User:{asker.user}"
    return f"Grant Read on it: kafka-acls.sh --add {principal} --operation Read {resource}"


def commit_permission(asker: Asker, groups: list[str]) -> None:
    """Check that positions may be committed to the groups; raises StepFailed."""
    for name in groups:
        try:
            allowed: Any = asker.group(name).authorized_operations
        except KafkaException as error:
            if error.args[0].code() != KafkaError.GROUP_AUTHORIZATION_FAILED:
                continue  # A failed query proves nothing about the permission.
            allowed = [_OPERATION.UNKNOWN]
        if allowed and _OPERATION.READ not in allowed:
            said = f"The user may not use the consumer group {name!r}."
            raise StepFailed(said, _grant(asker, f"--group {name}"))


def the_topic(asker: Asker, name: str) -> str:
    """Check that the topic exists; returns how many partitions it has. Raises StepFailed."""
    try:
        count = len(asker.topic(name).partitions)
    except KafkaException as error:
        if error.args[0].code() == _NO_NAME:
            said = f"No topic can have the name {name!r}."
            mend = "Correct it in the source. Use letters, digits, dots, underscores and dashes."
            raise StepFailed(said, mend) from error
        if error.args[0].code() in _UNKNOWN:
            said = f"There is no topic {name!r}."
            mend = "Create it, or correct the name in the source. Names are case-sensitive."
            raise StepFailed(said, mend) from error
        raise _unexpected(error) from error
    return "It has 1 partition." if count == 1 else f"It has {count} partitions."


def _unexpected(error: KafkaException) -> StepFailed:
    text = error.args[0].str()
    return StepFailed(f"The query failed: {text}.", "Try again, and check the broker's log.")
