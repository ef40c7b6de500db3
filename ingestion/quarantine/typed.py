"""Types stored messages: the rows of those that fit, and why the others don't."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

from ingestion.landing import direct_insert
from ingestion.landing.addresses import Address
from ingestion.quarantine.messages import Key, Messages

#: A row begins with _source (8 bytes), _partition (4) and _offset (8): ddl.create.ORIGIN_TYPES.
_OFFSET = slice(12, 20)
#: _timestamp follows, then the text _message_id and the 16 bytes of _batch.
_MESSAGE_ID, _BATCH_BYTES = 28, 16
#: The reason of a message for which the repair gives NULL.
NOT_REPAIRED = "not_repaired"


@dataclass(frozen=True, slots=True)
class UnfitMessage:
    """A message that still does not fit, and why. ``raw`` is its text after the repair."""

    key: Key
    reason: str
    column: str = ""
    expected: str = ""
    value: bytes = b""
    raw: bytes = b""


@dataclass(slots=True)
class Typed:
    """``rows``: RowBinary for the table, with ``_ingested_at`` at the end, by message.

    ``filtered``: the same for the table of filtered messages.
    """

    rows: dict[Key, bytes] = field(default_factory=dict)
    filtered: dict[Key, bytes] = field(default_factory=dict)
    misfits: list[UnfitMessage] = field(default_factory=list)

    def leaves(self, key: Key) -> bool:
        """Whether a replay takes the message out of the quarantine."""
        return key in self.rows or key in self.filtered


def typed(to: Address, messages: Messages) -> Typed:
    """Type the messages by the address's version of the table; raises WarehouseError."""
    result = Typed()
    result.misfits += [UnfitMessage(key, NOT_REPAIRED) for key in messages.unrepaired]
    if not messages.rows.num_rows:
        return result
    by_batch = direct_insert.type_all(messages.rows, to.columns, to.stored, to.filters)
    for batch, rows in by_batch.items():
        for placed, sent in ((result.rows, rows.good), (result.filtered, rows.filtered)):
            for row in sent:
                key = (uuid.UUID(batch), int.from_bytes(row[_OFFSET], "little", signed=True))
                came_in = messages.ingested[key].to_bytes(8, "little", signed=True)
                placed[key] = row + came_in
        result.misfits += [misfit(uuid.UUID(batch), row) for row in rows.misfits]
    return result


def misfit(batch: uuid.UUID, row: bytes) -> UnfitMessage:
    """Read a row for the quarantine (``ddl.rows.typed_rows``)."""
    offset = int.from_bytes(row[_OFFSET], "little", signed=True)
    _message_id, at = _text(row, _MESSAGE_ID)
    # Between the message and the reason is its metadata, if the table reads any.
    _key, raw, *_metadata, reason, column, expected, value = _texts(row, at + _BATCH_BYTES)
    return UnfitMessage(
        (batch, offset), reason.decode(), column.decode(), expected.decode(), value, raw
    )


def _texts(row: bytes, at: int) -> Iterator[bytes]:
    while at < len(row):
        text, at = _text(row, at)
        yield text


def _text(row: bytes, at: int) -> tuple[bytes, int]:
    """The text at this place, which follows its length as LEB128; and the place after it."""
    length = shift = 0
    while True:
        byte = row[at]
        at += 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return row[at : at + length], at + length
