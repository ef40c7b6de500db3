"""The metrics' values. Postgres has them all, so whoever answers speaks for all processes."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from ingestion.monitoring.source_status import SourceStatus, source_status
from millrace.metrics import catalogue

_FAMILIES = {"gauge": GaugeMetricFamily, "counter": CounterMetricFamily}


class SourceCollector(Collector):
    """Reads every source's status at each scrape: two queries, however many there are."""

    def collect(self) -> Iterator[Metric]:
        found = source_status()
        for metric in catalogue.METRICS:
            yield _family(metric, found)

    def describe(self) -> Iterator[Metric]:
        """To register it asks the database nothing."""
        for metric in catalogue.METRICS:
            yield _family(metric, [])


def _family(metric: catalogue.Metric, found: list[SourceStatus]) -> Metric:
    labels = [*catalogue.LABELS, metric.label] if metric.label else catalogue.LABELS
    family: GaugeMetricFamily | CounterMetricFamily = _FAMILIES[metric.kind](
        metric.name, metric.meaning, labels=labels
    )
    for one in found:
        for value_of_label, value in metric.samples(one).items():
            if value is not None:
                further = [value_of_label] if metric.label else []
                family.add_metric([one.tenant, one.source, one.kind, *further], value)
    return family


#: Ours alone: what prometheus_client counts of one process says nothing of the installation.
REGISTRY = CollectorRegistry()
REGISTRY.register(SourceCollector())
