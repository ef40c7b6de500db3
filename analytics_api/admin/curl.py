"""The line that calls an endpoint, as the query's page prints it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from analytics_api.models import SavedQueryVersion
from analytics_api.parameters.types import ParameterType, parse
from analytics_api.parameters.values import sample_value


def line(address: str, version: SavedQueryVersion) -> str:
    """It works in a shell in which ``KEY`` is a key of the tenant."""
    values = {one["name"]: _value(one) for one in version.parameters}
    known = {name: _text(value) for name, value in values.items() if value is not None}
    asked = f"?{urlencode(known)}" if known else ""
    return f'curl -sS -H "Authorization: Bearer $KEY" {shlex.quote(address + asked)}'


def _value(stored: Mapping[str, Any]) -> Any:
    """What its author gave as a default or an example, else some value of its type."""
    for name in ("default", "example"):
        if name in stored:
            return stored[name]
    if stored.get("allowed"):
        return stored["allowed"][0]
    kind = _filled(parse(stored["type"]))
    return sample_value(kind)


def _filled(kind: ParameterType) -> ParameterType:
    """The type of a value that is not NULL, which a query string can't say."""
    return kind.inner[0] if kind.base == "Nullable" else kind


def _text(value: Any) -> str:
    """As a query string has it: a text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
