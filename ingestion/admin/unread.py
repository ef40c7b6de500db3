"""What a table's page shows of the fields that no column reads."""

from __future__ import annotations

from typing import Any

from django.utils.html import format_html, format_html_join

from ingestion.models import Table, UnknownFieldRule, UnknownFields
from tenants.admin import display

#: How many fields the page lists, the most frequent first.
LISTED = 20


def facts(table: Table) -> list[tuple[str, Any]]:
    """The line of the page's head; none if nothing was sampled, or it is to be ignored."""
    sample = UnknownFields.across_tenants.filter(table=table, version=table.version).first()
    if sample is None or table.unknown_fields != UnknownFieldRule.COUNT or not sample.sampled:
        return []
    if not sample.fields:
        return [("Fields that no column reads", f"None in a sample of {sample.sampled:,} messages")]
    # Postgres keeps the members of a JSON object in an order of its own.
    frequent = sorted(sample.fields.items(), key=lambda item: (-item[1][0], item[0]))
    lines = format_html_join(
        "",
        "<div>{} in {} %, such as {}</div>",
        (
            (display.code(path), _percent(count, sample.sampled), display.code(example))
            for path, (count, example) in frequent[:LISTED]
        ),
    )
    more = f", {len(frequent) - LISTED} more fields not shown" if len(frequent) > LISTED else ""
    of = format_html("<div>of a sample of {} messages{}</div>", f"{sample.sampled:,}", more)
    return [("Fields that no column reads", format_html("{}{}", lines, of))]


def _percent(count: int, sampled: int) -> str:
    """The share in per cent; what was found at all is never 0."""
    return f"{max(count * 100 / sampled, 0.1):.3g}"
