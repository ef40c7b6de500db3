"""``/api/v1/sources``: the status of a tenant's sources, and pausing and resuming them."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

from django.http import HttpResponse, JsonResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request

from ingestion import quarantine
from ingestion.api.serializers import (
    QuarantineSerializer,
    SourceDetailSerializer,
    SourcesSerializer,
)
from ingestion.models import Source
from ingestion.monitoring.source_status import source_status
from ingestion.services import sources
from tenants.audit import record
from tenants.models import Scope
from tenants.rest.authentication import Caller
from tenants.rest.body import read_nothing
from tenants.rest.endpoint import Endpoint
from tenants.rest.problem import Problem, not_found
from tenants.warehouse.errors import WarehouseError

log = logging.getLogger(__name__)

PROBLEM = "application/problem+json"
_REFUSED = {
    (401, PROBLEM): OpenApiResponse(OpenApiTypes.OBJECT, "The key is missing or not valid."),
    (403, PROBLEM): OpenApiResponse(
        OpenApiTypes.OBJECT, "The tenant is suspended, or the key lacks the scope `manage`."
    ),
}
PROBLEMS = _REFUSED | {
    (404, PROBLEM): OpenApiResponse(OpenApiTypes.OBJECT, "The tenant has nothing of that name."),
}


class SourcesView(Endpoint):
    """All sources of the caller's tenant."""

    scope = Scope.MANAGE

    @extend_schema(
        operation_id="list_sources",
        summary="List the sources: state, lag, freshness, throughput",
        responses={200: SourcesSerializer, **_REFUSED},
    )
    def get(self, request: Request) -> HttpResponse:
        """List the status of each source that the key may use."""
        caller = self.caller(request)
        rows = Source.objects.filter(tenant=caller.tenant_id)
        statuses = source_status(
            rows if caller.sources is None else rows.filter(name__in=caller.sources)
        )
        return JsonResponse(SourcesSerializer({"sources": statuses}).data)


class SourceView(Endpoint):
    """One source, with its partitions."""

    scope = Scope.MANAGE

    @extend_schema(
        operation_id="get_source",
        summary="Show the state of a source, with its partitions",
        responses={200: SourceDetailSerializer, **PROBLEMS},
    )
    def get(self, request: Request, name: str) -> HttpResponse:
        return told_of_source(own_source(self.caller(request), name))


class PauseView(Endpoint):
    """``POST`` pauses a source. Repeating it changes nothing."""

    scope = Scope.MANAGE

    @extend_schema(
        operation_id="pause_source",
        summary="Pause a source; unread messages stay at the broker",
        request=None,
        responses={200: SourceDetailSerializer, **PROBLEMS},
    )
    def post(self, request: Request, name: str) -> HttpResponse:
        read_nothing(request)
        source = own_source(self.caller(request), name)
        if source.active:
            sources.pause(source)
            record("source.pause", source, tenant=source.tenant)
        return told_of_source(source)


class ResumeView(Endpoint):
    """``POST`` resumes a source where it was paused; misfits are counted from zero again."""

    scope = Scope.MANAGE

    @extend_schema(
        operation_id="resume_source",
        summary="Resume a source where it was paused",
        request=None,
        responses={
            200: SourceDetailSerializer,
            **PROBLEMS,
            (409, PROBLEM): OpenApiResponse(OpenApiTypes.OBJECT, "The source is archived."),
        },
    )
    def post(self, request: Request, name: str) -> HttpResponse:
        read_nothing(request)
        source = own_source(self.caller(request), name)
        if not source.active:
            try:
                sources.resume(source)
            except sources.Archived as error:
                raise Problem(409, "source_archived", str(error)) from error
            record("source.resume", source, tenant=source.tenant)
        return told_of_source(source)


class QuarantineView(Endpoint):
    """The messages of a source that did not fit its table, in groups."""

    scope = Scope.MANAGE

    @extend_schema(
        operation_id="get_quarantine",
        summary="List messages that did not fit, by reason and column, with an example of each",
        responses={
            200: QuarantineSerializer,
            **PROBLEMS,
            (503, PROBLEM): OpenApiResponse(
                OpenApiTypes.OBJECT, "ClickHouse does not answer; see Retry-After."
            ),
        },
    )
    def get(self, request: Request, name: str) -> HttpResponse:
        caller = self.caller(request)
        source = own_source(caller, name)
        without_row_filters(caller)
        try:
            groups = quarantine.groups(source.table, source=source)
        except WarehouseError as error:
            log.warning("Quarantine of %s: %s", source, error)
            detail = "The quarantine can't be read at the moment. Try again later."
            raise Problem(503, "unavailable", detail, headers={"Retry-After": "5"}) from error
        answer = {
            "table": source.table.name,
            "quarantine_days": source.table.quarantine_days,
            "groups": groups,
        }
        return JsonResponse(QuarantineSerializer(answer).data)


def own_source(caller: Caller, name: str) -> Source:
    """A source that the caller may use; raises Problem 404.

    The same 404 for a source that the caller may not use does not reveal whether it exists.
    """
    rows = Source.objects.select_related("tenant__warehouse", "table__tenant__warehouse")
    named = rows.filter(tenant=caller.tenant_id, name=name)
    source = named.first() if caller.may_use(name) else None
    if source is None:
        raise not_found("There is no source of that name.")
    return source


def without_row_filters(caller: Caller) -> None:
    """Raise Problem 403 if the caller's key has row filters, which misfits can't be checked by."""
    if caller.filters:
        detail = (
            "Your key has row filters, which can't be applied to messages that did not fit the "
            "table. Use a key without row filters."
        )
        raise Problem(403, "row_filter", detail)


def told_of_source(source: Source) -> HttpResponse:
    """A response with the source's status and its partitions."""
    (status,) = source_status(Source.objects.filter(tenant=source.tenant_id, pk=source.pk))
    answer: dict[str, Any] = asdict(status) | {
        "quarantine_limit": source.quarantine_limit,
        "partitions": source.partitions.order_by("number"),
    }
    return JsonResponse(SourceDetailSerializer(answer).data)
