"""All metrics: each name with its kind and meaning, as docs/reference/metrics.md lists them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ingestion.monitoring.source_status import SourceState, SourceStatus

#: Of every source's metrics; some have one more.
LABELS = ("tenant", "source", "kind")


@dataclass(frozen=True, slots=True)
class Metric:
    """``label`` is a further label; ``samples`` gives a value for each of its values.

    Without a further label the one key is ''. A value that nobody knows (None) is left out.
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


METRICS = (
    Metric(
        "millrace_source_state",
        "gauge",
        "1 for the state that the source is in, 0 for the others",
        _states,
        label="state",
    ),
    Metric(
        "millrace_source_lag_messages",
        "gauge",
        "messages that wait at the broker, as measured every 10 seconds",
        _one(lambda one: one.lag),
    ),
    Metric(
        "millrace_source_lag_seconds",
        "gauge",
        "for how long at the most the oldest of them has waited; absent before anything landed",
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
        "how old events of the last five minutes were when they could be queried, by quantile",
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
        "messages that did not fit",
        _one(lambda one: one.quarantined),
    ),
    Metric(
        "millrace_source_read_bytes_total",
        "counter",
        "bytes of the messages that landed or did not fit",
        _one(lambda one: one.bytes),
    ),
    Metric(
        "millrace_source_lost_messages_total",
        "counter",
        "messages that the broker deleted before it was their turn",
        _one(lambda one: one.lost),
    ),
    Metric(
        "millrace_source_unidentified_messages_total",
        "counter",
        "messages of a RabbitMQ queue without a message_id, which can be doubled if redelivered",
        _one(lambda one: one.unidentified),
    ),
    Metric(
        "millrace_source_failures_in_a_row",
        "gauge",
        "failed attempts since something landed last",
        _one(lambda one: one.attempts),
    ),
)
