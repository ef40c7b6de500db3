"""Deleting and archiving by the API, with a preview: of sources, of tables, of connections.

A key may do what its scope ``manage`` allows, to what is its tenant's own. One that is held to some
sources sees no table and no connection, since others hang on these; one with row filters deletes
nothing, since rows and counts go beyond what it may see.
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
    (409, PROBLEM): OpenApiResponse(OpenApiTypes.OBJECT, "`confirm` is not its name."),
    (503, PROBLEM): OpenApiResponse(
        OpenApiTypes.OBJECT,
        "It is in use at this moment, or the engine does not answer; see Retry-After. With the "
        "code `stopped_half_way` some of it may be gone: delete it again.",
    ),
}


class _Archive(Endpoint):
    scope = Scope.MANAGE

    def archived(self, request: Request, obj: Removable) -> HttpResponse:
        """Preview it, or do it."""
        asked = read(ArchiveRequestSerializer, request)
        done = removal.archive_preview(obj) if asked["preview"] else removal.archive(obj)
        found = {
            "done": not asked["preview"],
            "sources": [one.name for one in done.sources],
            "consequences": done.consequences,
        }
        return JsonResponse(ArchiveSerializer(found).data)


class _Delete(Endpoint):
    scope = Scope.MANAGE

    def deleted(self, request: Request, obj: Removable, asked: dict[str, Any]) -> HttpResponse:
        """Preview it, or do it."""
        caller = self.caller(request)
        if caller.filters:
            detail = "Your key has row filters. What is deleted goes beyond the rows it may see."
            raise Problem(403, "row_filter", detail)
        found, left = removal.preview(obj), list[str]()
        if not asked["preview"]:
            with _translated():
                left = removal.delete(
                    obj, asked["confirm"], with_rows=asked.get("rows") == "delete"
                )
        return JsonResponse(
            RemovalSerializer(
                {
                    "done": not asked["preview"],
                    "sources": [one.name for one in found.sources],
                    "goes": found.goes,
                    "rows": found.rows,
                    "books": found.books,
                    "stays": found.stays,
                    **failing(found.queries, caller),
                    "left": left,
                }
            ).data
        )


def failing(queries: Sequence[str], caller: Caller) -> dict[str, Any]:
    """By name those that the key may run; the others are counted."""
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
        detail = "It stopped half-way: some of it may be gone, and its sources stay paused. "
        raise later("stopped_half_way", f"{detail}Delete it again.") from error
    except (IngestionError, RunningAlready) as error:
        raise later("busy", str(error)) from error
    except WarehouseError as error:
        log.warning("Deletion: %s", error)
        detail = "The engine does not answer, or has refused. Nothing was deleted. Try again later."
        raise later("unavailable", detail) from error


def later(code: str, detail: str) -> Problem:
    """What may be tried again in a moment."""
    return Problem(503, code, detail, headers={"Retry-After": "5"})


# --- Sources ------------------------------------------------------------------------------------


class ArchiveSourceView(_Archive):
    """``POST``: the source is read no more, and all that it landed stays."""

    @extend_schema(
        operation_id="archive_source",
        summary="Archive a source: nothing more is read, and all of it stays",
        request=ArchiveRequestSerializer,
        responses=_ARCHIVES,
    )
    def post(self, request: Request, name: str) -> HttpResponse:
        """Preview it, or do it."""
        return self.archived(request, own_source(self.caller(request), name))


class RestoreSourceView(Endpoint):
    """``POST``: the source is out of the archive, and paused. To repeat it changes nothing."""

    scope = Scope.MANAGE

    @extend_schema(
        operation_id="restore_source",
        summary="Take a source out of the archive; it stays paused where it was",
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
    """``POST``: the source goes with its position and books, and with its rows if told so."""

    @extend_schema(
        operation_id="delete_source",
        summary="Delete a source, and the rows that it landed if told so",
        request=RemovalRequestSerializer,
        responses=_DELETES,
    )
    def post(self, request: Request, name: str) -> HttpResponse:
        """Preview it, or do it."""
        source = own_source(self.caller(request), name)
        return self.deleted(request, source, read(RemovalRequestSerializer, request))


# --- Tables and connections ---------------------------------------------------------------------


class ArchiveTableView(_Archive):
    """``POST``: all sources that feed the table are archived."""

    @extend_schema(
        operation_id="archive_table",
        summary="Archive all sources that feed a table",
        request=ArchiveRequestSerializer,
        responses=_ARCHIVES,
    )
    def post(self, request: Request, name: str) -> HttpResponse:
        """Preview it, or do it."""
        return self.archived(request, own(Table, self.caller(request), name))


class DeleteTableView(_Delete):
    """``POST``: the table goes with its rows, its quarantine and the sources that feed it."""

    @extend_schema(
        operation_id="delete_table",
        summary="Delete a table with its rows and the sources that feed it",
        request=TableRemovalRequestSerializer,
        responses=_DELETES,
    )
    def post(self, request: Request, name: str) -> HttpResponse:
        """Preview it, or do it."""
        table = own(Table, self.caller(request), name)
        return self.deleted(request, table, read(TableRemovalRequestSerializer, request))


class ArchiveConnectionView(_Archive):
    """``POST``: all sources on the connection are archived."""

    @extend_schema(
        operation_id="archive_connection",
        summary="Archive all sources on a connection",
        request=ArchiveRequestSerializer,
        responses=_ARCHIVES,
    )
    def post(self, request: Request, name: str) -> HttpResponse:
        """Preview it, or do it."""
        return self.archived(request, own(Connection, self.caller(request), name))


class DeleteConnectionView(_Delete):
    """``POST``: the connection goes with the sources on it, and with their rows if told so."""

    @extend_schema(
        operation_id="delete_connection",
        summary="Delete a connection with the sources on it, and their rows if told so",
        request=RemovalRequestSerializer,
        responses=_DELETES,
    )
    def post(self, request: Request, name: str) -> HttpResponse:
        """Preview it, or do it."""
        connection = own(Connection, self.caller(request), name)
        return self.deleted(request, connection, read(RemovalRequestSerializer, request))


def own(model: type[Table | Connection], caller: Caller, name: str) -> Any:
    """The tenant's own of that name: a shared connection is the operator's to delete."""
    rows = model.across_tenants.filter(tenant=caller.tenant_id, name=name)
    found = rows.select_related("tenant__warehouse").first() if caller.sources is None else None
    if found is None:
        raise not_found(f"There is no {model._meta.verbose_name} of that name.")
    return found
