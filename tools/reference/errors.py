"""The codes of the API's errors, from their list."""

from __future__ import annotations

from tenants.rest.codes import CODES
from tools.reference.text import code, table


def page() -> str:
    rows = [
        (code(one.code), ", ".join(str(status) for status in one.statuses), one.meaning)
        for one in sorted(CODES, key=lambda one: one.code)
    ]
    return table(("code", "status", "meaning"), rows)
