"""The admin's overview page: whether everything runs, lag, freshness, and what broke last."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString

from analytics_api.models import SavedQuery
from ingestion.admin import activity
from ingestion.models import Source, Table
from ingestion.monitoring.source_status import SourceState, SourceStatus, source_status
from tenants.admin import display
from tenants.models import ProvisionState, Tenant, Warehouse

#: How many sources the page shows; failing ones come first.
SHOWN = 25
_ORDER = (SourceState.FAILING, SourceState.WAITING, SourceState.RUNNING, SourceState.PAUSED)


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the context of ``admin/index.html`` (unfoldadmin.com/docs/configuration/dashboard)."""
    sources = source_status(Source.objects.all())
    context["figures"] = _figures(sources)
    ordered = sorted(sources, key=lambda source: (_ORDER.index(source.state), -source.lag))
    context["sources"] = [_row(source) for source in ordered[:SHOWN]]
    context["hidden"] = max(0, len(sources) - SHOWN)
    context["broken"] = _broken()
    context["steps"] = [] if sources else _steps()
    return context


def _figures(sources: list[SourceStatus]) -> list[tuple[str, Any, str]]:
    """(heading, value, explanation) of each card."""
    running = sum(1 for source in sources if source.state is SourceState.RUNNING)
    failing = sum(1 for source in sources if source.state is SourceState.FAILING)
    landed = sum(source.landed for source in sources)
    misfits = sum(source.quarantined for source in sources)
    total = landed + misfits
    share = f"{misfits / total:.2%} of all messages" if total else "no messages yet"
    speed = sum(source.events_per_second for source in sources)
    endpoints = SavedQuery.objects.exclude(published=None).count()
    return [
        ("Sources running", f"{running} of {len(sources)}", f"{failing} failing"),
        ("Lag", f"{sum(source.lag for source in sources):,}", "messages waiting in all sources"),
        (
            "Rows landed",
            f"{landed:,}",
            f"{_of_tenants(Tenant.objects.count())}; now {activity.rate(speed)} per second",
        ),
        ("In quarantine", f"{misfits:,}", share),
        ("Endpoints", f"{endpoints:,}", "published queries"),
    ]


def _row(source: SourceStatus) -> dict[str, Any]:
    return {
        "url": reverse("admin:ingestion_source_change", args=[source.source_id]),
        "name": f"{source.tenant}.{source.source}",
        "kind": source.kind,
        "state": display.badge(source.state, source.state.title()),
        "lag": activity.lag(source),
        "freshness": activity.freshness_text(source),
        "throughput": activity.rate(source.events_per_second),
        "landed": display.number(source.landed),
        "quarantined": display.number(source.quarantined, alarm=True),
        "error": display.trouble(source.last_error)
        if source.state is SourceState.FAILING
        else display.short(source.paused_reason or source.last_error),
    }


def _broken() -> list[tuple[SafeString, str]]:
    """Tables and warehouses that could not be created, each with the error."""
    failed: list[Table | Warehouse] = [
        *Warehouse.objects.filter(state=ProvisionState.FAILED),
        *Table.objects.filter(state=ProvisionState.FAILED).select_related("tenant"),
    ]
    return [(display.link(row), row.error) for row in failed]


def _steps() -> list[tuple[str, str, str]]:
    """(title, address, text) of the first steps in an empty installation."""
    return [
        (
            "Add a tenant",
            reverse("admin:tenants_tenant_add"),
            "A customer with a database of its own.",
        ),
        (
            "Add a connection",
            reverse("admin:ingestion_connection_add"),
            "How to reach Kafka or RabbitMQ. You don't need one for events over HTTP.",
        ),
        (
            "Describe a table",
            reverse("admin:ingestion_table_add"),
            "The typed columns that events are stored in.",
        ),
        (
            "Add a source",
            reverse("admin:ingestion_source_add"),
            "A topic or queue to read into the table.",
        ),
        (
            "Save a query",
            reverse("admin:analytics_api_savedquery_add"),
            "Once published, it is an endpoint of the API.",
        ),
        (
            "Create an API key",
            reverse("admin:tenants_apikey_add"),
            "Callers of the endpoint send it with each request.",
        ),
    ]


def _of_tenants(count: int) -> str:
    return "of 1 tenant" if count == 1 else f"of {count:,} tenants"
