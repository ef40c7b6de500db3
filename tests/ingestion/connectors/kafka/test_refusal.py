"""What librdkafka reports of a login, and what a user is told to do about it."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from ingestion.connectors.kafka.refusal import has_reason, is_decisive, told

ALL_DOWN = KafkaError._ALL_BROKERS_DOWN
AUTHENTICATION = KafkaError._AUTHENTICATION


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (AUTHENTICATION, True),
        (KafkaError._SSL, True),
        (KafkaError._UNSUPPORTED_FEATURE, True),
        (KafkaError.SASL_AUTHENTICATION_FAILED, True),
        (KafkaError.UNSUPPORTED_SASL_MECHANISM, True),
        (KafkaError.ILLEGAL_SASL_STATE, True),
        (ALL_DOWN, False),
        (KafkaError._TRANSPORT, False),
        (KafkaError._TIMED_OUT, False),
    ],
)
def test_after_a_failed_login_to_wait_is_pointless(code: int, expected: bool) -> None:
    assert is_decisive(KafkaError(code)) is expected


def test_a_fatal_error_is_decisive_whatever_it_is() -> None:
    assert is_decisive(KafkaError(KafkaError._TRANSPORT, "x", fatal=True))


def test_that_no_broker_is_left_is_no_reason() -> None:
    assert not has_reason(KafkaError(ALL_DOWN))
    assert has_reason(KafkaError(KafkaError._TRANSPORT))


def test_a_broker_that_says_nothing_at_all_is_running_and_silent() -> None:
    found = told(None, "b:1", has_login=False)
    assert found.said == "b:1 did not answer within 8 s."


@pytest.mark.parametrize(
    ("has_login", "says"), [(True, "during the login"), (False, "asks for a login")]
)
def test_a_broker_that_hangs_up_expects_a_login_where_none_is(has_login: bool, says: str) -> None:
    assert says in told(KafkaError(ALL_DOWN), "b:1", has_login).said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "sasl_ssl://b:1/bootstrap: Authentication failed: Invalid credentials (after 3ms in x)",
            "b:1 refuses the login: Authentication failed: Invalid credentials.",
        ),
        (
            "b:1/bootstrap: Unsupported SASL mechanism 'X' (after 2ms in state X)",
            "b:1 does not know this SASL mechanism: Unsupported SASL mechanism 'X'.",
        ),
        (
            "Failed to acquire SASL OAUTHBEARER token: 401 Unauthorized",
            "The token endpoint gave no token: 401 Unauthorized.",
        ),
        (
            "b:1/bootstrap: Request is not valid given the current SASL state",
            "b:1 asks for no login, and this connection has one.",
        ),
        ("b:1/bootstrap: Receive failed.", "b:1 refuses the connection: Receive failed."),
        ("[thrd:b:1/bootstrap]: (x): Odd", "b:1 refuses the connection: Odd."),
    ],
)
def test_what_is_known_is_told_without_what_librdkafka_adds(text: str, said: str) -> None:
    found = told(KafkaError(AUTHENTICATION, text), "b:1", has_login=True)
    assert found.said == said
    assert found.mend
