"""What can go wrong between a broker and a table.

IngestionError
├── LeaseLost              nobody: another owner has the partition now, and goes on
├── TableNotReady          later: ClickHouse has not made the table yet
├── NotConfirmed           the caller must act: type the name of what is to be deleted
├── Shortfall              bug, or lost rows: an insert was acknowledged and is not all there
└── ConnectorError         shown at the source, which is tried again later
    ├── BrokerUnreachable  later: the broker did not answer
    ├── Refused            somebody must act: credentials, permissions, settings
    ├── StreamMissing      somebody must act: the topic or queue does not exist
    ├── OffsetsGone        the broker has deleted what is asked for (``low`` is its oldest)
    └── CannotRepeat       the stream has no offsets: what was delivered comes by redelivery
"""

from __future__ import annotations


class IngestionError(Exception):
    """Something of a stream's way into its table failed."""


class LeaseLost(IngestionError):
    """The lease ran out and another owner has taken the partition."""


class TableNotReady(IngestionError):
    """ClickHouse has applied no version of the table, so that nothing says how to type messages."""


class NotConfirmed(IngestionError):
    """What deletes asks for the object's name, and another was typed."""


class Shortfall(IngestionError):
    """After a repeated insert the table holds another number of rows than were sent."""


class ConnectorError(IngestionError):
    """A broker could not do as asked; the text is shown at the source."""


class BrokerUnreachable(ConnectorError):
    """The broker did not answer; the same call may go through later."""


class Refused(ConnectorError):
    """The broker, or the client, refused the connection's settings."""


class StreamMissing(ConnectorError):
    """The topic or queue does not exist."""


class OffsetsGone(ConnectorError):
    """Offsets below ``low`` are no longer at the broker, or those above it not yet."""

    def __init__(self, message: str, low: int) -> None:
        super().__init__(message)
        self.low = low


class CannotRepeat(ConnectorError):
    """The stream has no offsets, so that a range of it can't be read again."""
