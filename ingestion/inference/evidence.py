"""What a sample shows of a field: how often it is there, and which values it has."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ingestion.inference.sampled_fields import Field
from ingestion.inference.type_choice import is_number

#: Examples of a field, and the characters of each.
_EXAMPLES, _LENGTH = 3, 80


@dataclass(frozen=True, slots=True)
class Evidence:
    """``present``, ``nulls`` and ``distinct`` count messages; values are shown as JSON, cut.

    ``smallest`` and ``largest``: empty for other values than numbers and texts.
    """

    present: int
    nulls: int
    distinct: int
    smallest: str
    largest: str
    examples: tuple[str, ...]


def evidence(field: Field) -> Evidence:
    shown = dict.fromkeys(_json(value) for value in field.values)
    least, most = _bounds(field.values)
    return Evidence(
        present=field.present,
        nulls=field.present - len(field.values),
        distinct=len(shown),
        smallest=least,
        largest=most,
        examples=tuple(_cut(one) for one in list(shown)[:_EXAMPLES]),
    )


def _bounds(values: Sequence[Any]) -> tuple[str, str]:
    is_ordered = all(map(is_number, values)) or all(isinstance(one, str) for one in values)
    if not values or not is_ordered:
        return "", ""
    return _cut(_json(min(values))), _cut(_json(max(values)))


def _json(value: Any) -> str:
    if isinstance(value, Decimal):
        return str(value)
    # Within an array or object a decimal is shown as the nearest float.
    return json.dumps(value, ensure_ascii=False, default=float)


def _cut(text: str) -> str:
    return text if len(text) <= _LENGTH else f"{text[: _LENGTH - 1]}…"
