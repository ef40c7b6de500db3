"""API endpoints that delete and archive sources, tables and connections, with a preview.

A key with the scope ``manage`` may do this to its own tenant's objects. A key that is restricted to
some sources sees no table and no connection, because other sources depend on them. A key with row
filters can't delete anything, because rows and counts go beyond what it may see.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.http import HttpResponse, JsonResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request

from ingestion.api.serializers import (
    ArchiveRequestSerializer,
    ArchiveSerializer,
    RemovalRequestSerializer,
    RemovalSerializer,
    SourceDetailSerializer,
    TableRemovalRequestSerializer,
)
from ingestion.api.sources import PROBLEM, PROBLEMS, own_source, told_of_source
from ingestion.errors import IngestionError, NotConfirmed
from ingestion.models import Connection, Table
from ingestion.services import removal, sources
from ingestion.services.removal import Removable
from tenants.audit import record_once
from tenants.models import Scope
from tenants.rest.authentication import Caller
from tenants.rest.body import read, read_nothing
from tenants.rest.endpoint import Endpoint
from tenants.rest.problem import Problem, not_found
from tenants.warehouse.errors import RunningAlready, WarehouseError

log = logging.getLogger(__name__)

_ARCHIVES: dict[Any, Any] = {200: ArchiveSerializer, **PROBLEMS}
_DELETES: dict[Any, Any] = {
    200: RemovalSerializer,
    **PROBLEMS,
    (409, PROBLEM): OpenApiResponse(OpenApiTypes.OBJECT, "`confirm` is not the object's name."),
    (503, PROBLEM): OpenApiResponse(
        OpenApiTypes.OBJECT,
        "The object is in use, or ClickHouse does not answer; see Retry-After. With the code "
        "`stopped_half_way`, part of the data may be deleted already: delete the object again.",
    ),
}


class _Archive(Endpoint):
    scope = Scope.MANAGE

    def archived(self, request: Request, obj: Removable) -> HttpResponse:
        """Archive the object, or only preview it."""
        body = read(ArchiveRequestSerializer, request)
        outcome = removal.archive_preview(obj) if body["preview"] else removal.archive(obj)
        answer = {
            "done": not body["preview"],
            "sources": [source.name for source in outcome.sources],
            "consequences": outcome.consequences,
        }
        return JsonResponse(ArchiveSerializer(answer).data)


class _Delete(Endpoint):
    scope = Scope.MANAGE

    def deleted(self, request: Request, obj: Removable, body: dict[str, Any]) -> HttpResponse:
        """Delete the object, or only preview it."""
        caller = self.caller(request)
        if caller.filters:
            detail = (
                "Your key has row filters, and a deletion affects rows that it may not see. Use a "
                "key without row filters."
            )
            raise Problem(403, "row_filter", detail)
        preview, left = removal.preview(obj), list[str]()
        if not body["preview"]:
            with _translated():
                left = removal.delete(obj, body["confirm"], with_rows=body.get("rows") == "delete")
        return JsonResponse(
            RemovalSerializer(
                {
                    "done": not body["preview"],
                    "sources": [source.name for source in preview.sources],
                    "goes": preview.goes,
                    "rows": preview.rows,
                    "books": preview.books,
                    "stays": preview.stays,
                    **failing(preview.queries, caller),
                    "left": left,
                }
            ).data
        )


def failing(queries: Sequence[str], caller: Caller) -> dict[str, Any]:
    """The saved queries that will fail: by name if the key may run them, the others as a count."""
    shown = [name for name in queries if caller.may_run(name)][: removal.SHOWN_QUERIES]
    return {"failing_queries": shown, "further_failing_queries": len(queries) - len(shown)}


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except NotConfirmed as error:
        raise Problem(409, "not_confirmed", str(error)) from error
    except removal.StoppedHalfWay as error:
        log.warning("%s", error)
        detail = (
            "The deletion stopped half-way: part of the data may be gone, and the sources stay "
            "paused. Delete it again."
        )
        raise later("stopped_half_way", detail) from error
    except (IngestionError, RunningAlready) as error:
        raise later("busy", str(error)) from error
    except WarehouseError as error:
        log.warning("Deletion: %s", error)
        detail = (
            "ClickHouse does not answer or refused the deletion. Nothing was deleted. Try again "
            "later."
        )
        raise later("unavailable", detail) from error


def later(code: str, detail: str) -> Problem:
    """A Problem 503 for a request that the caller may repeat after 5 seconds."""
    return Problem(503, code, detail, headers={"Retry-After": "5"})


# --- Sources ------------------------------------------------------------------------------------


class ArchiveSourceView(_Archive):
    """``POST`` archives a source: Millrace stops reading it and keeps everything it landed."""

    @extend_schema(
        operation_id="archive_source",
        summary="Archive a source: stop reading it and keep everything it landed",
        request=ArchiveRequestSerializer,
        responses=_ARCHIVES,
    )
    def post(self, request: Request, name: str) -> HttpResponse:
        """Archive the source, or only preview it."""
        return self.archived(request, own_source(self.caller(request), name))


class RestoreSourceView(Endpoint):
    """``POST`` takes a source out of the archive; it stays paused. Repeating it changes nothing."""

    scope = Scope.MANAGE

    @extend_schema(
        operation_id="restore_source",
        summary="Take a source out of the archive; it stays paused at its position",
        request=None,
        responses={200: SourceDetailSerializer, **PROBLEMS},
    )
    def post(self, request: Request, name: str) -> HttpResponse:
        read_nothing(request)
        source = own_source(self.caller(request), name)
        if source.is_archived:
            sources.restore(source)
            record_once("source.restore", source, tenant=source.tenant)
        return told_of_source(source)


class DeleteSourceView(_Delete):
    """``POST`` deletes a source with its position and books, and on request with its rows."""

    @extend_schema(
        operation_id="delete_source",
        summary="Delete a source, and on request the rows that it landed",
        request=RemovalRequestSerializer,
        responses=_DELETES,
    )
    def post(self, request: Request, name: str) -> HttpResponse:
        """Delete the source, or only preview it."""
        source = own_source(self.caller(request), name)
        return self.deleted(request, source, read(RemovalRequestSerializer, request))


# --- Tables and connections ---------------------------------------------------------------------


class ArchiveTableView(_Archive):
    """``POST`` archives all sources that feed the table."""

    @extend_schema(
        operation_id="archive_table",
        summary="Archive all sources that feed a table",
        request=ArchiveRequestSerializer,
        responses=_ARCHIVES,
    )
    def post(self, request: Request, name: str) -> HttpResponse:
        """Archive the sources, or only preview it."""
        return self.archived(request, own(Table, self.caller(request), name))


class DeleteTableView(_Delete):
    """``POST`` deletes a table with its rows, its quarantine and the sources that feed it."""

    @extend_schema(
        operation_id="delete_table",
        summary="Delete a table with its rows and the sources that feed it",
        request=TableRemovalRequestSerializer,
        responses=_DELETES,
    )
    def post(self, request: Request, name: str) -> HttpResponse:
        """Delete the table, or only preview it."""
        table = own(Table, self.caller(request), name)
        return self.deleted(request, table, read(TableRemovalRequestSerializer, request))


class ArchiveConnectionView(_Archive):
    """``POST`` archives all sources on the connection."""

    @extend_schema(
        operation_id="archive_connection",
        summary="Archive all sources on a connection",
        request=ArchiveRequestSerializer,
        responses=_ARCHIVES,
    )
    def post(self, request: Request, name: str) -> HttpResponse:
        """Archive the sources, or only preview it."""
        return self.archived(request, own(Connection, self.caller(request), name))


class DeleteConnectionView(_Delete):
    """``POST`` deletes a connection with its sources, and on request with their rows."""

    @extend_schema(
        operation_id="delete_connection",
        summary="Delete a connection with its sources, and on request their rows",
        request=RemovalRequestSerializer,
        responses=_DELETES,
    )
    def post(self, request: Request, name: str) -> HttpResponse:
        """Delete the connection, or only preview it."""
        connection = own(Connection, self.caller(request), name)
        return self.deleted(request, connection, read(RemovalRequestSerializer, request))


def own(model: type[Table | Connection], caller: Caller, name: str) -> Any:
    """The tenant's own object of that name; raises Problem 404.

    Only the operator may delete a shared connection, so it counts as not found.
    """
    rows = model.across_tenants.filter(tenant=caller.tenant_id, name=name)
    obj = rows.select_related("tenant__warehouse").first() if caller.sources is None else None
    if obj is None:
        raise not_found(f"There is no {model._meta.verbose_name} of that name.")
    return obj
