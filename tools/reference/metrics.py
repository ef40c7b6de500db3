"""Generates the list of metrics from their catalogue."""

from __future__ import annotations

from millrace.metrics.catalogue import LABELS, METRICS
from tools.reference.text import code, table


def page() -> str:
    labels = ", ".join(map(code, LABELS))
    rows = [
        (
            code(metric.name) + (f" ({code(metric.label)})" if metric.label else ""),
            metric.meaning,
            metric.kind,
        )
        for metric in METRICS
    ]
    return f"Every metric has the labels {labels}; a further label stands in brackets.\n\n" + table(
        ("metric (further label)", "meaning", "kind"), rows
    )
