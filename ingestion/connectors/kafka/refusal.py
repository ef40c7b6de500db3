"""Why Kafka does not let us in, in words."""

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
    """Whether trying again is of no use."""
    return error.code() in _DECISIVE or error.fatal()


def has_reason(error: KafkaError) -> bool:
    """Whether it says more than that no broker is left."""
    return error.code() != KafkaError._ALL_BROKERS_DOWN  # noqa: SLF001


def told(error: KafkaError | None, where: str, has_login: bool) -> StepFailed:
    """What to tell the operator. ``has_login``: this connection logs in."""
    if error is None:
        said = f"{where} did not answer within {2 * TIMEOUT:.0f} s."
        return StepFailed(said, "See the broker's log: it is up, and does not serve.")
    if not has_reason(error):
        # The way and TLS were tried before: a broker that hangs up now wants to know who we are.
        return _hung_up(where, has_login)
    text, whole = _text(error), error.str().lower()
    for words, said, mend in _KNOWN:
        if any(word in whole for word in words):
            return StepFailed(said.format(where=where, text=text), mend)
    mend = "See what the broker's log says of it, and correct mechanism, username or password."
    return StepFailed(f"{where} does not let us in: {text}.", mend)


def _hung_up(where: str, has_login: bool) -> StepFailed:
    if has_login:
        said = f"{where} hangs up while we log in."
        return StepFailed(said, "See what the broker's log says of it.")
    said = f"{where} hangs up on us, as a broker does that asks for a login: there is none."
    return StepFailed(said, "Choose the SASL mechanism, and give username and password.")


#: Words by which librdkafka's texts are known, what they mean, and what to do; the first counts.
_KNOWN = (
    (
        ("oauthbearer token", "oidc"),
        "The token endpoint gave no token: {text}.",
        "Correct the token URL, client id, client secret or scope, or see the provider's log.",
    ),
    (
        ("unsupported sasl mechanism", "not enabled", "unsupported mechanism"),
        "{where} does not know this SASL mechanism: {text}.",
        "Choose one of the mechanisms that the broker has on this listener.",
    ),
    (
        ("current sasl state",),
        "{where} asks for no login, and this connection has one.",
        "Empty SASL mechanism and username, or use the port of the broker's SASL listener.",
    ),
    (
        ("authentication", "credentials"),
        "{where} refuses the login: {text}.",
        "Correct the username or password, or make that user at the broker, for this mechanism.",
    ),
)


def _text(error: KafkaError) -> str:
    """Without what librdkafka puts before it: names of threads and addresses, and after it."""
    text = error.str().split("): ")[-1] if "): " in error.str() else error.str()
    text = text.rpartition("/bootstrap: ")[2]
    text = text.removeprefix("Failed to acquire SASL OAUTHBEARER token: ")
    return text.partition(" (after ")[0].strip().rstrip(".")
