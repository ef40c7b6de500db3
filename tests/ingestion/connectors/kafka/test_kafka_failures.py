"""Which of librdkafka's errors the owner must act on, and which may pass by themselves."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException

from ingestion.connectors.kafka.failures import failure, translated
from ingestion.errors import BrokerUnreachable, ConnectorError, Refused, StreamMissing


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (KafkaError.UNKNOWN_TOPIC_OR_PART, StreamMissing),
        (KafkaError._UNKNOWN_TOPIC, StreamMissing),
        (KafkaError._UNKNOWN_PARTITION, StreamMissing),
        (KafkaError._AUTHENTICATION, Refused),
        (KafkaError._INVALID_ARG, Refused),
        (KafkaError._SSL, Refused),
        (KafkaError.CLUSTER_AUTHORIZATION_FAILED, Refused),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, Refused),
        (KafkaError.SASL_AUTHENTICATION_FAILED, Refused),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, Refused),
        (KafkaError.UNSUPPORTED_SASL_MECHANISM, Refused),
        (KafkaError._ALL_BROKERS_DOWN, BrokerUnreachable),
        (KafkaError._TRANSPORT, BrokerUnreachable),
        (KafkaError._TIMED_OUT, BrokerUnreachable),
        (KafkaError._RESOLVE, BrokerUnreachable),
        (KafkaError.LEADER_NOT_AVAILABLE, BrokerUnreachable),
        (KafkaError.NOT_LEADER_FOR_PARTITION, BrokerUnreachable),
    ],
)
def test_an_error_says_who_must_act(code: int, kind: type[ConnectorError]) -> None:
    found = failure(KafkaError(code), "Topic 'orders'", "b:9092")
    assert type(found) is kind
    assert str(found).startswith("Topic 'orders': ")
    assert "b:9092" in str(found)


def test_an_exception_of_the_client_becomes_ours_and_stays_its_cause() -> None:
    error = KafkaException(KafkaError(KafkaError._TRANSPORT, "reset"))
    with (
        pytest.raises(BrokerUnreachable, match="reset") as raised,
        translated("Asking", "b:9092"),
    ):
        raise error
    assert raised.value.__cause__ is error


def test_settings_that_the_client_can_not_read_are_refused() -> None:
    with pytest.raises(Refused, match="Asking: no such property"), translated("Asking", "b:9092"):
        raise KafkaException("no such property")


def test_a_mistake_of_our_own_is_no_fault_of_the_brokers() -> None:
    with pytest.raises(KeyError), translated("Asking", "b:9092"):
        raise KeyError("x")
