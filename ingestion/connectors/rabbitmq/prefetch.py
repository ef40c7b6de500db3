"""The option ``prefetch`` of a connection: how many deliveries may be unacknowledged."""

from __future__ import annotations

from ingestion.errors import Refused
from ingestion.models import Connection, options

DEFAULT, MOST = options.PREFETCH, options.MOST_PREFETCH


def prefetch(connection: Connection) -> int:
    """How many messages one reader holds at most; raises Refused for an invalid option."""
    if fault := options.fault(connection.kind, connection.options):
        raise Refused(f"The connection {connection} {fault}")
    found: int = connection.options.get("prefetch", DEFAULT)
    return found
