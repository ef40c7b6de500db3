"""Explains why a Kafka broker refuses the login, and how to fix it."""

from __future__ import annotations

from confluent_kafka import KafkaError

from ingestion.connectors.connection_trial import TIMEOUT, StepFailed

_DECISIVE = {
    KafkaError._AUTHENTICATION,  # noqa: SLF001
    KafkaError._SSL,  # noqa: SLF001
    KafkaError._UNSUPPORTED_FEATURE,  # noqa: SLF001
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
    KafkaError.ILLEGAL_SASL_STATE,
}


def is_decisive(error: KafkaError) -> bool:
    """Whether retrying is pointless."""
    return error.code() in _DECISIVE or error.fatal()


def has_reason(error: KafkaError) -> bool:
    """Whether the error says more than that no broker is left."""
    return error.code() != KafkaError._ALL_BROKERS_DOWN  # noqa: SLF001


def told(error: KafkaError | None, where: str, has_login: bool) -> StepFailed:
    """The StepFailed that explains ``error``. ``has_login``: whether this connection logs in."""
    if error is None:
        said = f"{where} did not answer within {2 * TIMEOUT:.0f} s."
        return StepFailed(said, "Check the broker's log: it is running but does not respond.")
    if not has_reason(error):
        # Route and TLS were tested before, so a broker that hangs up now expects a login.
        return _hung_up(where, has_login)
    text, whole = _text(error), error.str().lower()
    for words, said, mend in _KNOWN:
        if any(word in whole for word in words):
            return StepFailed(said.format(where=where, text=text), mend)
    mend = "Check the broker's log, and correct mechanism, username or password."
    return StepFailed(f"{where} refuses the connection: {text}.", mend)


def _hung_up(where: str, has_login: bool) -> StepFailed:
    if has_login:
        said = f"{where} hangs up during the login."
        return StepFailed(said, "Check the broker's log.")
    said = f"{where} hangs up. Most likely it asks for a login, and this connection has none."
    return StepFailed(said, "Choose the SASL mechanism, and enter username and password.")


#: Words in librdkafka's messages, what they mean, and how to fix it; the first match counts.
_KNOWN = (
    (
        ("oauthbearer token", "oidc"),
        "The token endpoint gave no token: {text}.",
        "Correct the token URL, client id, client secret or scope, or check the provider's log.",
    ),
    (
        ("unsupported sasl mechanism", "not enabled", "unsupported mechanism"),
        "{where} does not know this SASL mechanism: {text}.",
        "Choose one of the mechanisms that the broker has on this listener.",
    ),
    (
        ("current sasl state",),
        "{where} asks for no login, and this connection has one.",
        "Clear SASL mechanism and username, or use the port of the broker's SASL listener.",
    ),
    (
        ("authentication", "credentials"),
        "{where} refuses the login: {text}.",
        "Correct the username or password, or create that user at the broker for this mechanism.",
    ),
)


def _text(error: KafkaError) -> str:
    """The message without what librdkafka adds: names of threads, addresses, durations."""
    text = error.str().split("): ")[-1] if "): " in error.str() else error.str()
    text = text.rpartition("/bootstrap: ")[2]
    text = text.removeprefix("Failed to acquire SASL OAUTHBEARER token: ")
    return text.partition(" (after ")[0].strip().rstrip(".")
