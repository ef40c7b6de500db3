"""Validates a connection's options: which further client settings each kind of broker allows."""

from __future__ import annotations

from typing import Any, Final

#: The settings of librdkafka that a connection may set. Others load libraries or run commands, or
#: exactly-once delivery depends on them.
_KAFKA = frozenset(
    {
        "broker.address.family",
        "client.id",
        "client.rack",
        "enable.ssl.certificate.verification",
        "fetch.max.bytes",
        "fetch.message.max.bytes",
        "fetch.min.bytes",
        "fetch.wait.max.ms",
        "group.id",
        "https.ca.location",
        "https.ca.pem",
        "metadata.max.age.ms",
        "queued.max.messages.kbytes",
        "queued.min.messages",
        "receive.message.max.bytes",
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.oauthbearer.extensions",
        "security.protocol",
        "socket.connection.setup.timeout.ms",
        "socket.timeout.ms",
        "ssl.ca.location",
        "ssl.ca.pem",
        "ssl.certificate.pem",
        "ssl.endpoint.identification.algorithm",
    }
)
ALLOWED: Final = {"kafka": _KAFKA, "rabbitmq": frozenset({"ssl", "prefetch", "login_method"})}
#: Enough for one batch being inserted and the next one being read. With 60,000 the broker spends a
#: fifth more CPU per message on tracking unacknowledged messages (bench rabbitmq).
PREFETCH = 20_000
#: AMQP's field has 16 bits; 0 would mean no limit.
MOST_PREFETCH = 65_535
#: Options that people try to set, and the field that each belongs in.
_ELSEWHERE = {
    "bootstrap.servers": "the addresses",
    "metadata.broker.list": "the addresses",
    "sasl.username": "the username",
    "sasl.password": "the password",
    "ssl.key.pem": "the client key",
}


def fault(kind: str, options: dict[str, Any]) -> str:
    """What is wrong with the options and what is allowed, after "It …"; '' if they are valid."""
    allowed = ALLOWED.get(kind, frozenset())
    if unknown := sorted(set(options) - allowed):
        where = [f"{name} belongs in {_ELSEWHERE[name]}" for name in unknown if name in _ELSEWHERE]
        hint = f" ({'; '.join(where)})" if where else ""
        return (
            f"sets {', '.join(unknown)}, which is not allowed{hint}. "
            f"Allowed options: {', '.join(sorted(allowed))}."
        )
    if kind == "rabbitmq":
        return _prefetch_fault(options.get("prefetch", PREFETCH))
    nested = sorted(name for name, value in options.items() if isinstance(value, dict | list))
    if nested:
        return (
            f"sets {', '.join(nested)} to a list or an object. Use a text, a number or a boolean."
        )
    return ""


def _prefetch_fault(value: Any) -> str:
    if type(value) is int and 1 <= value <= MOST_PREFETCH:
        return ""
    return (
        f"sets prefetch to {value!r}. It is the number of messages that may wait for their "
        f"acknowledgement: a whole number from 1 to {MOST_PREFETCH}, {PREFETCH} by default."
    )
