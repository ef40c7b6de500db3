"""Collects the metrics' values from Postgres, so that any process can answer for all of them."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from ingestion.monitoring.source_status import SourceStatus, source_status
from millrace.metrics import catalogue

_FAMILIES = {"gauge": GaugeMetricFamily, "counter": CounterMetricFamily}


class SourceCollector(Collector):
    """Reads the status of every source at each scrape, in two queries for any number of sources."""

    def collect(self) -> Iterator[Metric]:
        statuses = source_status()
        for metric in catalogue.METRICS:
            yield _family(metric, statuses)

    def describe(self) -> Iterator[Metric]:
        """Return the families without samples, so that registering does not query the database."""
        for metric in catalogue.METRICS:
            yield _family(metric, [])


def _family(metric: catalogue.Metric, statuses: list[SourceStatus]) -> Metric:
    labels = [*catalogue.LABELS, metric.label] if metric.label else catalogue.LABELS
    family: GaugeMetricFamily | CounterMetricFamily = _FAMILIES[metric.kind](
        metric.name, metric.meaning, labels=labels
    )
    for status in statuses:
        for label_value, sample in metric.samples(status).items():
            if sample is not None:
                extra = [label_value] if metric.label else []
                family.add_metric([status.tenant, status.source, status.kind, *extra], sample)
    return family


#: A registry of our own: prometheus_client's default metrics describe one process, and say nothing
#: about the installation.
REGISTRY = CollectorRegistry()
REGISTRY.register(SourceCollector())
