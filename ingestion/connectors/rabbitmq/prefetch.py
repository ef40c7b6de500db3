"""Option ``prefetch`` of a connection: deliveries that may wait for their acknowledgement."""

from __future__ import annotations

from ingestion.errors import Refused
from ingestion.models import Connection

#: One batch that is being inserted and the next one that is read. With 60,000 the broker spends a
#: fifth more CPU a message on remembering what waits (bench rabbitmq).
DEFAULT = 20_000
#: AMQP counts in 16 bits; 0 would mean that nothing bounds it.
MOST = 65_535


def prefetch(connection: Connection) -> int:
    """How many messages one reader holds at most; raises Refused for what is no such number."""
    given = connection.options.get("prefetch", DEFAULT)
    if type(given) is not int or not 1 <= given <= MOST:
        msg = (
            f"The connection {connection} sets prefetch to {given!r}. It is the number of messages "
            f"that may wait for their acknowledgement: a whole number from 1 to {MOST}, "
            f"{DEFAULT} by default."
        )
        raise Refused(msg)
    return given
