"""Collects the metrics' values from Postgres, so that any process can answer for all of them."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Count
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from ingestion.models import BackfillRun
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


class RunCollector(Collector):
    """Counts the backfill runs of each tenant, in one query."""

    def collect(self) -> Iterator[Metric]:
        runs = BackfillRun.across_tenants.order_by().values_list("table__tenant__slug", "state")
        family = _runs()
        for tenant, state, count in runs.annotate(count=Count("pk")):
            family.add_metric([tenant, state], count)
        yield family

    def describe(self) -> Iterator[Metric]:
        """Return the family without samples, so that registering does not query the database."""
        yield _runs()


def _runs() -> GaugeMetricFamily:
    return GaugeMetricFamily(catalogue.RUNS, catalogue.RUNS_MEANING, labels=catalogue.RUNS_LABELS)


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
REGISTRY.register(RunCollector())
