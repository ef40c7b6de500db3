"""Generates the list of result formats from ``analytics_api.api.result_formats``."""

from __future__ import annotations

from analytics_api.api.result_formats import FORMATS
from tools.reference.text import code, table


def page() -> str:
    rows = [
        (
            code(form.name),
            code(form.clickhouse),
            ", ".join(code(media_type) for media_type in form.media_types),
            code(form.content_type),
        )
        for form in FORMATS
    ]
    head = ("`format`, ending", "ClickHouse's name", "`Accept`", "`Content-Type` of the answer")
    return f"## All formats\n\n{table(head, rows)}"
