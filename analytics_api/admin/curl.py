"""The curl command for calling an endpoint, shown on the saved query's page."""

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
    """The command, for a shell where ``KEY`` holds one of the tenant's API keys."""
    values = {stored["name"]: _value(stored) for stored in version.parameters}
    known = {name: _text(value) for name, value in values.items() if value is not None}
    query_string = f"?{urlencode(known)}" if known else ""
    return f'curl -sS -H "Authorization: Bearer $KEY" {shlex.quote(address + query_string)}'


def _value(stored: Mapping[str, Any]) -> Any:
    """The author's default or example, else a made-up value of the parameter's type."""
    for name in ("default", "example"):
        if name in stored:
            return stored[name]
    if stored.get("allowed"):
        return stored["allowed"][0]
    kind = _filled(parse(stored["type"]))
    return sample_value(kind)


def _filled(kind: ParameterType) -> ParameterType:
    """The type without Nullable: a query string can't express NULL."""
    return kind.inner[0] if kind.base == "Nullable" else kind


def _text(value: Any) -> str:
    """The value as a query string writes it: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
