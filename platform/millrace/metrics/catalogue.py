"""All metrics: the name, kind and meaning of each, as docs/reference/metrics.md lists them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ingestion.monitoring.source_status import SourceState, SourceStatus

#: Labels of every metric; some metrics have one more.
LABELS = ("tenant", "source", "kind")


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. ``label`` is an additional label; ``samples`` maps its values to samples.

    Without an additional label the only key is ''. A sample of None (unknown) is left out.
    """

    name: str
    kind: Literal["gauge", "counter"]
    meaning: str
    samples: Callable[[SourceStatus], dict[str, float | None]]
    label: str = ""


def _one(read: Callable[[SourceStatus], float | None]) -> Callable[..., dict[str, float | None]]:
    return lambda status: {"": read(status)}


def _states(status: SourceStatus) -> dict[str, float | None]:
    return {str(state): float(state is status.state) for state in SourceState}


def _freshness(status: SourceStatus) -> dict[str, float | None]:
    return {"0.5": status.freshness_p50, "0.95": status.freshness_p95}


#: Name, meaning and labels of the one metric that is of tenants, not of sources.
RUNS = "millrace_backfill_runs"
RUNS_MEANING = "backfills in the background, by state, until their table is deleted"
RUNS_LABELS = ("tenant", "state")

METRICS = (
    Metric(
        "millrace_source_state",
        "gauge",
        "1 for the source's current state, 0 for the other states",
        _states,
        label="state",
    ),
    Metric(
        "millrace_source_lag_messages",
        "gauge",
        "messages waiting at the broker, measured every 10 seconds",
        _one(lambda one: one.lag),
    ),
    Metric(
        "millrace_source_lag_seconds",
        "gauge",
        "upper bound of the oldest waiting message's age; absent until a first message has landed",
        _one(lambda one: one.lag_seconds),
    ),
    Metric(
        "millrace_source_newest_event_age_seconds",
        "gauge",
        "age of the newest event in the table",
        _one(lambda one: one.freshness_seconds),
    ),
    Metric(
        "millrace_source_freshness_seconds",
        "gauge",
        "age of events when they became queryable, over the last five minutes, by quantile",
        _freshness,
        label="quantile",
    ),
    Metric(
        "millrace_source_landed_rows_total",
        "counter",
        "rows that landed in the table",
        _one(lambda one: one.landed),
    ),
    Metric(
        "millrace_source_quarantined_rows_total",
        "counter",
        "messages sent to quarantine because they did not fit the table",
        _one(lambda one: one.quarantined),
    ),
    Metric(
        "millrace_source_filtered_messages_total",
        "counter",
        "messages that the source's filter left out",
        _one(lambda one: one.filtered),
    ),
    Metric(
        "millrace_source_read_bytes_total",
        "counter",
        "bytes of the messages that landed, were quarantined or filtered",
        _one(lambda one: one.bytes),
    ),
    Metric(
        "millrace_source_lost_messages_total",
        "counter",
        "messages that the broker deleted before they were read",
        _one(lambda one: one.lost),
    ),
    Metric(
        "millrace_source_unidentified_messages_total",
        "counter",
        "RabbitMQ messages without a message_id, which may be inserted twice if redelivered",
        _one(lambda one: one.unidentified),
    ),
    Metric(
        "millrace_source_failures_in_a_row",
        "gauge",
        "failed attempts since the last successful insert",
        _one(lambda one: one.attempts),
    ),
)
