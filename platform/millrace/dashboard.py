"""The admin's first page: is all of it running, how far behind, how fresh, what broke."""

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

#: Sources that the page shows; those in trouble come first.
SHOWN = 25
_ORDER = (SourceState.FAILING, SourceState.WAITING, SourceState.RUNNING, SourceState.PAUSED)


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add what ``admin/index.html`` shows (unfoldadmin.com/docs/configuration/dashboard)."""
    sources = source_status(Source.objects.all())
    context["figures"] = _figures(sources)
    ordered = sorted(sources, key=lambda one: (_ORDER.index(one.state), -one.lag))
    context["sources"] = [_row(one) for one in ordered[:SHOWN]]
    context["hidden"] = max(0, len(sources) - SHOWN)
    context["broken"] = _broken()
    context["steps"] = [] if sources else _steps()
    return context


def _figures(sources: list[SourceStatus]) -> list[tuple[str, Any, str]]:
    """(heading, value, what it says) of each card."""
    running = sum(1 for one in sources if one.state is SourceState.RUNNING)
    failing = sum(1 for one in sources if one.state is SourceState.FAILING)
    landed = sum(one.landed for one in sources)
    misfits = sum(one.quarantined for one in sources)
    share = f"{misfits / (landed + misfits):.2%} of all" if landed + misfits else "of none yet"
    speed = sum(one.events_per_second for one in sources)
    endpoints = SavedQuery.objects.exclude(published=None).count()
    return [
        ("Sources running", f"{running} of {len(sources)}", f"{failing} failing"),
        ("Behind", f"{sum(one.lag for one in sources):,}", "messages, in all"),
        (
            "Rows landed",
            f"{landed:,}",
            f"{_of_tenants(Tenant.objects.count())}; {activity.rate(speed)} a second now",
        ),
        ("In quarantine", f"{misfits:,}", share),
        ("Endpoints", f"{endpoints:,}", "published queries"),
    ]


def _row(one: SourceStatus) -> dict[str, Any]:
    return {
        "url": reverse("admin:ingestion_source_change", args=[one.source_id]),
        "name": f"{one.tenant}.{one.source}",
        "kind": one.kind,
        "state": display.badge(one.state, one.state.title()),
        "lag": activity.lag(one),
        "freshness": activity.freshness_text(one),
        "throughput": activity.rate(one.events_per_second),
        "landed": display.number(one.landed),
        "quarantined": display.number(one.quarantined, alarm=True),
        "error": display.trouble(one.last_error)
        if one.state is SourceState.FAILING
        else display.short(one.paused_reason or one.last_error),
    }


def _broken() -> list[tuple[SafeString, str]]:
    """Tables and warehouses that could not be made, with the reason."""
    failed: list[Table | Warehouse] = [
        *Warehouse.objects.filter(state=ProvisionState.FAILED),
        *Table.objects.filter(state=ProvisionState.FAILED).select_related("tenant"),
    ]
    return [(display.link(one), one.error) for one in failed]


def _steps() -> list[tuple[str, str, str]]:
    """(title, address, text) of what to do first."""
    return [
        ("Make a tenant", reverse("admin:tenants_tenant_add"), "A customer, with a warehouse."),
        (
            "Add a connection",
            reverse("admin:ingestion_connection_add"),
            "How to reach Kafka or RabbitMQ. Events over HTTP need none.",
        ),
        ("Describe a table", reverse("admin:ingestion_table_add"), "Typed columns of the events."),
        (
            "Add a source",
            reverse("admin:ingestion_source_add"),
            "A topic or queue, into the table.",
        ),
        (
            "Save a query",
            reverse("admin:analytics_api_savedquery_add"),
            "Published, it is an endpoint.",
        ),
        ("Make an API key", reverse("admin:tenants_apikey_add"), "For the endpoint's callers."),
    ]


def _of_tenants(count: int) -> str:
    return "of 1 tenant" if count == 1 else f"of {count:,} tenants"
