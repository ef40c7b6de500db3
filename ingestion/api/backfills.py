"""``/api/v1/tables/<name>/backfills…``: load files of history, and follow, cancel or resume it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.http import HttpResponse, JsonResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request

from ingestion.api.backfill_serializers import (
    BackfillRequestSerializer,
    BackfillRunSerializer,
    BackfillsQuerySerializer,
    BackfillsSerializer,
    ChosenRunSerializer,
    UploadQuerySerializer,
)
from ingestion.api.removal import own
from ingestion.api.sources import PROBLEM, PROBLEMS
from ingestion.backfill import read_options
from ingestion.backfill.errors import BackfillError
from ingestion.backfill.file import Format
from ingestion.backfill.file_run import Settings
from ingestion.backfill.read_options import ReadOptions
from ingestion.backfill.uploads import TooLarge
from ingestion.models import BackfillRun, Table
from ingestion.services import backfill_runs
from ingestion.services.runs import RunRefused
from tenants.models import Scope
from tenants.rest.authentication import Caller
from tenants.rest.body import read, read_arguments
from tenants.rest.endpoint import Endpoint
from tenants.rest.problem import Problem, not_found

#: The most runs that are listed.
LISTED = 50
_BLOCK = 1 << 20
_REFUSED = {
    (409, PROBLEM): OpenApiResponse(
        OpenApiTypes.OBJECT, "The table is not ready, or the run is in another state."
    )
}
_UNREADABLE = _REFUSED | {
    (422, PROBLEM): OpenApiResponse(
        OpenApiTypes.OBJECT, "The location is not open to you, or no format shows in its name."
    )
}


class BackfillsView(Endpoint):
    """``GET`` lists the table's runs; ``POST`` starts one that loads from locations."""

    scope = Scope.MANAGE
    arguments = ("run",)

    @extend_schema(
        operation_id="list_backfills",
        summary="List the backfills of a table that run in the background, with their progress",
        parameters=[BackfillsQuerySerializer],
        responses={200: BackfillsSerializer, **PROBLEMS},
    )
    def get(self, request: Request, name: str) -> HttpResponse:
        """List the newest runs, or the one that ``run`` names."""
        table = _table(self.caller(request), name)
        chosen = read_arguments(BackfillsQuerySerializer, request)["run"]
        runs = [_run(table, chosen)] if chosen is not None else table.backfill_runs.all()[:LISTED]
        return JsonResponse(BackfillsSerializer({"runs": runs}).data)

    @extend_schema(
        operation_id="start_backfill",
        summary="Load files of history from where they are",
        request=BackfillRequestSerializer,
        responses={201: BackfillRunSerializer, **PROBLEMS, **_UNREADABLE},
    )
    def post(self, request: Request, name: str) -> HttpResponse:
        """Start a run; a worker loads the files in the background."""
        table, body = _table(self.caller(request), name), read(BackfillRequestSerializer, request)
        with _translated():
            run = backfill_runs.start(table, body["locations"], _settings(body))
        return _response(run, 201)


class UploadBackfillView(Endpoint):
    """``POST`` stores the body, which is a file, and starts a run that loads it."""

    scope = Scope.MANAGE
    arguments = ("file", "format", "delimiter", "encoding", "null", "quarantine_limit")

    def most_bytes(self) -> int:
        most: int = settings.MILLRACE_UPLOAD_MAX_BYTES
        return most

    @extend_schema(
        operation_id="upload_backfill",
        summary="Upload a file of history and load it",
        parameters=[UploadQuerySerializer],
        request={"application/octet-stream": OpenApiTypes.BINARY},
        responses={201: BackfillRunSerializer, **PROBLEMS, **_UNREADABLE},
    )
    def post(self, request: Request, name: str) -> HttpResponse:
        """Store the file block by block, so that its size does not matter to the memory."""
        table, chosen = (
            _table(self.caller(request), name),
            read_arguments(UploadQuerySerializer, request),
        )
        with _translated():
            run = backfill_runs.start_upload(
                table, chosen["file"], _blocks(request), _settings(chosen)
            )
        return _response(run, 201)


class CancelBackfillView(Endpoint):
    """``POST`` stops a run after its present chunk. What has landed stays."""

    scope = Scope.MANAGE

    @extend_schema(
        operation_id="cancel_backfill",
        summary="Cancel a backfill; the rows that have landed stay",
        request=ChosenRunSerializer,
        responses={200: BackfillRunSerializer, **PROBLEMS, **_REFUSED},
    )
    def post(self, request: Request, name: str) -> HttpResponse:
        table, body = _table(self.caller(request), name), read(ChosenRunSerializer, request)
        run = _run(table, body["run"])
        with _translated():
            backfill_runs.cancel(run)
        return _response(run)


class ResumeBackfillView(Endpoint):
    """``POST`` goes on with a run that was cancelled or has failed, where it stopped."""

    scope = Scope.MANAGE

    @extend_schema(
        operation_id="resume_backfill",
        summary="Go on with a backfill that was cancelled or has failed",
        request=ChosenRunSerializer,
        responses={200: BackfillRunSerializer, **PROBLEMS, **_REFUSED},
    )
    def post(self, request: Request, name: str) -> HttpResponse:
        table, body = _table(self.caller(request), name), read(ChosenRunSerializer, request)
        run = _run(table, body["run"])
        with _translated():
            backfill_runs.resume(run)
        return _response(run)


def _table(caller: Caller, name: str) -> Table:
    """The caller's own table; raises Problem 404, or 403 for a key with row filters."""
    table: Table = own(Table, caller, name)
    if caller.filters:
        detail = (
            "Your key has row filters, and a backfill writes and counts rows that it may not see. "
            "Use a key without row filters."
        )
        raise Problem(403, "row_filter", detail)
    return table


def _run(table: Table, pk: int) -> BackfillRun:
    run = table.backfill_runs.filter(pk=pk).first()
    if run is None:
        raise not_found("The table has no such run.")
    return run


def _settings(chosen: dict[str, Any]) -> Settings:
    """The settings of a body or a query string; raises Problem for a value that can't be."""
    try:
        options = ReadOptions(
            delimiter=read_options.delimiter(chosen["delimiter"]) if chosen["delimiter"] else "",
            encoding=read_options.encoding(chosen["encoding"]) if chosen["encoding"] else "",
            null=None if chosen["null"] is None else read_options.null_marker(chosen["null"]),
        )
    except ValueError as error:
        raise Problem(422, "file_refused", str(error)) from None
    form = Format(chosen["format"]) if chosen["format"] else None
    return Settings(form, options, limit=chosen["quarantine_limit"])


def _blocks(request: Request) -> Iterator[bytes]:
    """The body; raises Problem if it ends before the length that its header says."""
    length, size = int(request.META.get("CONTENT_LENGTH") or 0), 0
    stream = request._request  # noqa: SLF001 - DRF would read the whole body
    while block := stream.read(_BLOCK):
        size += len(block)
        yield block
    if size != length:
        detail = f"The body ended after {size} of {length} bytes. Nothing was stored."
        raise Problem(400, "body_unreadable", detail)


def _response(run: BackfillRun, status: int = 200) -> HttpResponse:
    return JsonResponse(BackfillRunSerializer(run).data, status=status)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except TooLarge as error:
        most = settings.MILLRACE_UPLOAD_MAX_BYTES
        raise Problem(413, "body_too_large", str(error), limit=most) from error
    except BackfillError as error:
        raise Problem(422, "file_refused", str(error)) from error
    except RunRefused as error:
        raise Problem(409, "refused", str(error)) from error
