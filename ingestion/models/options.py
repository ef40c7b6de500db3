"""Further settings of a connection's client: which there may be, by kind, before one is used."""

from __future__ import annotations

from typing import Any, Final

#: Of librdkafka's, those that a connection may set: others load libraries and run commands, or are
#: what exactness stands on.
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
#: One batch that is being inserted and the next one that is read. With 60,000 the broker spends a
#: fifth more CPU a message on remembering what waits (bench rabbitmq).
PREFETCH = 20_000
#: AMQP counts in 16 bits; 0 would mean that nothing bounds it.
MOST_PREFETCH = 65_535
#: What people try to set by options, and where it belongs.
_ELSEWHERE = {
    "bootstrap.servers": "the addresses",
    "metadata.broker.list": "the addresses",
    "sasl.username": "the username",
    "sasl.password": "the password",
    "ssl.key.pem": "the client key",
}


def fault(kind: str, options: dict[str, Any]) -> str:
    """What is wrong with the options, and what would be right; '' where nothing is."""
    allowed = ALLOWED.get(kind, frozenset())
    if unknown := sorted(set(options) - allowed):
        where = [f"{one} belongs into {_ELSEWHERE[one]}" for one in unknown if one in _ELSEWHERE]
        hint = f" ({'; '.join(where)})" if where else ""
        return (
            f"sets {', '.join(unknown)}, which a connection may not{hint}. "
            f"Allowed are {', '.join(sorted(allowed))}."
        )
    if kind == "rabbitmq":
        return _prefetch_fault(options.get("prefetch", PREFETCH))
    nested = sorted(name for name, value in options.items() if isinstance(value, dict | list))
    if nested:
        return f"sets {', '.join(nested)} to what is neither a text, a number, true nor false."
    return ""


def _prefetch_fault(given: Any) -> str:
    if type(given) is int and 1 <= given <= MOST_PREFETCH:
        return ""
    return (
        f"sets prefetch to {given!r}. It is the number of messages that may wait for their "
        f"acknowledgement: a whole number from 1 to {MOST_PREFETCH}, {PREFETCH} by default."
    )
