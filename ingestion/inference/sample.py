"""A sample: messages as bytes, and the values of those that are objects."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from ingestion.ddl.spec import ColumnSpec

#: The most messages that are read, and the most bytes of them together.
MESSAGES, BYTES = 1_000, 16 << 20
#: An integer of more digits is kept as a decimal: Python takes long for it, and no column has it.
_DIGITS = 100

#: The sample's messages for a table of these columns. In CSV the columns decide what is in quotes.
Messages = Callable[[tuple[ColumnSpec, ...]], Sequence[bytes]]


@dataclass(frozen=True, slots=True)
class Sample:
    """Messages to propose a table from.

    ``is_of_texts``: it is CSV, where every value is a text and an empty one is no value.
    """

    messages: Messages
    is_of_texts: bool = False

    def objects(self) -> list[dict[str, Any]]:
        """The messages that are JSON objects. Numbers with a point are decimals."""
        found = (_object(message) for message in self.messages(()))
        return [self._cleaned(one) for one in found if one is not None]

    def _cleaned(self, message: dict[str, Any]) -> dict[str, Any]:
        if not self.is_of_texts:
            return message
        return {key: value for key, value in message.items() if value != ""}


def of_messages(messages: Iterable[bytes]) -> Sample:
    """A sample of messages as they were sent; the first that are within the limits."""
    kept = limited(messages)
    return Sample(lambda _: kept)


def limited(messages: Iterable[bytes]) -> list[bytes]:
    """The first messages that are within the limits."""
    kept: list[bytes] = []
    size = 0
    for message in messages:
        size += len(message)
        if len(kept) == MESSAGES or (kept and size > BYTES):
            break
        kept.append(message)
    return kept


def _object(message: bytes) -> dict[str, Any] | None:
    try:
        orjson.loads(message)  # stricter than json: no NaN, no broken UTF-8
        value = json.loads(message, parse_float=_decimal, parse_int=_integer)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _decimal(digits: str) -> Decimal | float:
    try:
        return Decimal(digits)
    except InvalidOperation:
        return float(digits)


def _integer(digits: str) -> int | Decimal:
    return int(digits) if len(digits) <= _DIGITS else Decimal(digits)
