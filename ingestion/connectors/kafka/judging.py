"""What we may do with a topic, and whether there is one."""

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

#: The stubs have it nowhere.
_OPERATION: Any = kafka_admin.AclOperation  # type: ignore[attr-defined]
_NO_NAME = KafkaError.TOPIC_EXCEPTION


def read_permission(asker: Asker, topic: str) -> str:
    """Whether we may read it, as far as it exists; raises StepFailed."""
    try:
        found = asker.topic(topic)
    except KafkaException as error:
        code = error.args[0].code()
        if code in {*_UNKNOWN, _NO_NAME}:
            return "Nothing forbids it."
        if code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            said = f"The user may not even see the topic {topic!r}, if there is one."
            raise StepFailed(said, _grant(asker, f"--topic {topic}")) from error
        raise _unexpected(error) from error
    if found.authorized_operations and _OPERATION.READ not in found.authorized_operations:
        said = f"The user may see the topic {topic!r}, but not read it."
        raise StepFailed(said, _grant(asker, f"--topic {topic}"))
    return "It may be read."


def _grant(asker: Asker, resource: str) -> str:
    principal = f"--allow-principal User:{asker.user}"
    return f"Grant Read on it: kafka-acls.sh --add {principal} --operation Read {resource}"


def commit_permission(asker: Asker, groups: list[str]) -> None:
    """Whether positions may be committed; raises StepFailed."""
    for name in groups:
        try:
            allowed: Any = asker.group(name).authorized_operations
        except KafkaException as error:
            if error.args[0].code() != KafkaError.GROUP_AUTHORIZATION_FAILED:
                continue  # what can't be asked is no proof of anything
            allowed = [_OPERATION.UNKNOWN]
        if allowed and _OPERATION.READ not in allowed:
            said = f"The user may not use the consumer group {name!r}."
            raise StepFailed(said, _grant(asker, f"--group {name}"))


def the_topic(asker: Asker, name: str) -> str:
    """How many partitions it has; raises StepFailed."""
    try:
        count = len(asker.topic(name).partitions)
    except KafkaException as error:
        if error.args[0].code() == _NO_NAME:
            said = f"No topic can have the name {name!r}."
            mend = "Correct it in the source: letters, digits, dots, underscores and dashes."
            raise StepFailed(said, mend) from error
        if error.args[0].code() in _UNKNOWN:
            said = f"There is no topic {name!r}."
            mend = "Create it, or correct the name in the source: capitals count."
            raise StepFailed(said, mend) from error
        raise _unexpected(error) from error
    return "It has 1 partition." if count == 1 else f"It has {count} partitions."


def _unexpected(error: KafkaException) -> StepFailed:
    text = error.args[0].str()
    return StepFailed(f"Asking for it failed: {text}.", "Try again, and see the broker's log.")
