"""Translates librdkafka's errors into ConnectorErrors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaError, KafkaException

from ingestion.errors import BrokerUnreachable, ConnectorError, Refused, StreamMissing

_MISSING = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
    KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
}
_REFUSED = {
    KafkaError._AUTHENTICATION,  # noqa: SLF001
    KafkaError._INVALID_ARG,  # noqa: SLF001
    KafkaError._SSL,  # noqa: SLF001
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
}


def failure(error: KafkaError, what: str, addresses: str) -> ConnectorError:
    """The ConnectorError for ``error``, which happened while doing ``what``."""
    if error.code() in _MISSING:
        return StreamMissing(
            f"{what}: the topic does not exist at {addresses}. Create it, or correct its name."
        )
    if error.code() in _REFUSED:
        return Refused(f"{what}: {error.str()} ({error.name()}) at {addresses}.")
    return BrokerUnreachable(f"{what}: {error.str()} ({error.name()}) at {addresses}.")


@contextmanager
def translated(what: str, addresses: str) -> Iterator[None]:
    """Raise our exceptions in place of librdkafka's."""
    try:
        yield
    except KafkaException as error:
        first = error.args[0]
        if isinstance(first, KafkaError):
            raise failure(first, what, addresses) from error
        raise Refused(f"{what}: {first}") from error
