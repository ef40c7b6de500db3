"""The formats of a result, from their list."""

from __future__ import annotations

from analytics_api.api.result_formats import FORMATS
from tools.reference.text import code, table


def page() -> str:
    rows = [
        (
            code(one.name),
            code(one.clickhouse),
            ", ".join(code(kind) for kind in one.media_types),
            code(one.content_type),
        )
        for one in FORMATS
    ]
    head = ("`format`, ending", "ClickHouse's name", "`Accept`", "`Content-Type` of the answer")
    return f"## All formats\n\n{table(head, rows)}"
