"""The metrics, from their catalogue."""

from __future__ import annotations

from millrace.metrics.catalogue import LABELS, METRICS
from tools.reference.text import code, table


def page() -> str:
    labels = ", ".join(code(one) for one in LABELS)
    rows = [
        (code(one.name) + (f" ({code(one.label)})" if one.label else ""), one.meaning, one.kind)
        for one in METRICS
    ]
    return f"Every metric has the labels {labels}; a further label stands in brackets.\n\n" + table(
        ("metric (further label)", "meaning", "kind"), rows
    )
