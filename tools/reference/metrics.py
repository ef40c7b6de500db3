"""Generates the list of metrics from their catalogue."""

from __future__ import annotations

from millrace.metrics.catalogue import LABELS, METRICS, RUNS, RUNS_LABELS, RUNS_MEANING
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
    head = f"Every metric of a source has the labels {labels}; a further label stands in brackets."
    of_runs = " and ".join(map(code, RUNS_LABELS))
    last = f"{code(RUNS)} is a gauge with the labels {of_runs}: {RUNS_MEANING}."
    rows_of_sources = table(("metric (further label)", "meaning", "kind"), rows)
    return f"{head}\n\n{rows_of_sources}\n\n{last}"
