"""Generates the list of the API's error codes from ``tenants.rest.codes``."""

from __future__ import annotations

from tenants.rest.codes import CODES
from tools.reference.text import code, table


def page() -> str:
    rows = [
        (code(error.code), ", ".join(map(str, error.statuses)), error.meaning)
        for error in sorted(CODES, key=lambda error: error.code)
    ]
    return table(("code", "status", "meaning"), rows)
