"""What can go wrong between a broker and a table.

IngestionError
├── LeaseLost              no action: another owner has the partition now and continues
├── TableNotReady          later: ClickHouse has not created the table yet
├── NotConfirmed           the caller must act: type the name of what is to be deleted
├── Shortfall              bug, or lost rows: an insert was acknowledged but rows are missing
└── ConnectorError         shown on the source, which is tried again later
    ├── BrokerUnreachable  later: the broker did not answer
    ├── Refused            the owner must act: credentials, permissions, settings
    ├── StreamMissing      the owner must act: the topic or queue does not exist
    ├── OffsetsGone        the broker has deleted the requested offsets (``low`` is its oldest)
    ├── CannotRepeat       the stream has no offsets: the broker redelivers instead
    └── CannotPeek         the stream would change if its messages were only looked at
"""

from __future__ import annotations


class IngestionError(Exception):
    """The base class: something failed between a stream and its table."""


class LeaseLost(IngestionError):
    """The lease expired and another owner has taken the partition."""


class TableNotReady(IngestionError):
    """ClickHouse has applied no version of the table yet, so messages can't be typed."""


class NotConfirmed(IngestionError):
    """A deletion needs the object's name as a confirmation, and another name was given."""


class Shortfall(IngestionError):
    """After a repeated insert, the number of rows in the table differs from the number sent."""


class ConnectorError(IngestionError):
    """A broker failed or refused a request; the message is shown on the source."""


class BrokerUnreachable(ConnectorError):
    """The broker did not answer; the same call may succeed later."""


class Refused(ConnectorError):
    """The broker, or the client, refused the connection's settings."""


class StreamMissing(ConnectorError):
    """The topic or queue does not exist."""


class OffsetsGone(ConnectorError):
    """Offsets below ``low`` are no longer at the broker, or offsets above it not yet."""

    def __init__(self, message: str, low: int) -> None:
        super().__init__(message)
        self.low = low


class CannotRepeat(ConnectorError):
    """The stream has no offsets, so a range of it can't be read again."""


class CannotPeek(ConnectorError):
    """Looking at the stream's messages would change something at the broker."""
