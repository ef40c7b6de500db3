"""``/api/v1/sources/<name>/quarantine/…``: replay, discard and download what did not fit."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

from django.http import HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request

from ingestion.api.mending_serializers import (
    DiscardRequestSerializer,
    DiscardSerializer,
    DownloadQuerySerializer,
    ReplayRequestSerializer,
    ReplaySerializer,
    RunsSerializer,
)
from ingestion.api.removal import later
from ingestion.api.sources import PROBLEM, PROBLEMS, own_source, without_row_filters
from ingestion.errors import IngestionError
from ingestion.models import Source
from ingestion.models.run import GOES_ON
from ingestion.quarantine import download, messages
from ingestion.quarantine.dry_run import dry_run
from ingestion.quarantine.messages import RepairFailed
from ingestion.quarantine.repair import RepairRefused
from ingestion.services import quarantine_runs
from ingestion.services.runs import RunRefused
from tenants.audit import record
from tenants.models import Scope
from tenants.rest.body import read, read_arguments, read_nothing
from tenants.rest.endpoint import Endpoint
from tenants.rest.problem import Problem
from tenants.warehouse.errors import WarehouseError

log = logging.getLogger(__name__)

#: The most messages that a dry run of a call tries, the oldest.
TRIED = 20_000
#: The most runs that are listed.
LISTED = 50
_AWAY = {
    (503, PROBLEM): OpenApiResponse(
        OpenApiTypes.OBJECT, "ClickHouse does not answer; see Retry-After."
    )
}
_REFUSED = {
    (409, PROBLEM): OpenApiResponse(
        OpenApiTypes.OBJECT, "No message matches, or no reason is given."
    )
}


class ReplayView(Endpoint):
    """``POST`` replays messages into the table; with ``"dry_run": true`` it only tries."""

    scope = Scope.MANAGE

    @extend_schema(
        operation_id="replay_quarantine",
        summary="Try or start a replay of messages that did not fit",
        request=ReplayRequestSerializer,
        responses={
            200: ReplaySerializer,
            **PROBLEMS,
            **_REFUSED,
            (422, PROBLEM): OpenApiResponse(
                OpenApiTypes.OBJECT, "The repair is not allowed, or it failed on a message."
            ),
            **_AWAY,
        },
    )
    def post(self, request: Request, name: str) -> HttpResponse:
        """Start a run, or type the stored messages and say what would fit."""
        caller = self.caller(request)
        source, body = own_source(caller, name), read(ReplayRequestSerializer, request)
        without_row_filters(caller)
        selection = quarantine_runs.selected(source.table, body["reason"], body["column"], source)
        tried = run = None
        with _translated(source):
            if body["dry_run"]:
                tried = dry_run(selection, body["repair"], TRIED)
            else:
                run = quarantine_runs.replay(selection, body["repair"])
        return JsonResponse(ReplaySerializer({"dry_run": tried, "run": run}).data)


class DiscardView(Endpoint):
    """``POST`` deletes messages from the quarantine for good; ``"preview": true`` counts them."""

    scope = Scope.MANAGE

    @extend_schema(
        operation_id="discard_quarantine",
        summary="Discard messages that did not fit, with a reason",
        request=DiscardRequestSerializer,
        responses={200: DiscardSerializer, **PROBLEMS, **_REFUSED, **_AWAY},
    )
    def post(self, request: Request, name: str) -> HttpResponse:
        """Start a run that deletes the messages, or count them."""
        caller = self.caller(request)
        source, body = own_source(caller, name), read(DiscardRequestSerializer, request)
        without_row_filters(caller)
        selection = quarantine_runs.selected(source.table, body["reason"], body["column"], source)
        run = None
        with _translated(source):
            if body["preview"]:
                selected = messages.total(selection) if source.table.applied else 0
            else:
                run = quarantine_runs.discard(selection, body["note"])
                selected = run.total
        return JsonResponse(DiscardSerializer({"selected": selected, "run": run}).data)


class RunsView(Endpoint):
    """``GET`` lists replays and discards of the source's messages."""

    scope = Scope.MANAGE

    @extend_schema(
        operation_id="list_quarantine_runs",
        summary="List replays and discards, with their progress",
        responses={200: RunsSerializer, **PROBLEMS},
    )
    def get(self, request: Request, name: str) -> HttpResponse:
        caller = self.caller(request)
        source = own_source(caller, name)
        without_row_filters(caller)
        return _runs(source)


class CancelRunsView(Endpoint):
    """``POST`` cancels every run of the source's messages. Repeating it changes nothing."""

    scope = Scope.MANAGE

    @extend_schema(
        operation_id="cancel_quarantine_runs",
        summary="Cancel the replays and discards that are under way",
        request=None,
        responses={200: RunsSerializer, **PROBLEMS},
    )
    def post(self, request: Request, name: str) -> HttpResponse:
        """Stop each run after its present chunk; a new replay goes on with what is left."""
        caller = self.caller(request)
        read_nothing(request)
        source = own_source(caller, name)
        without_row_filters(caller)
        for run in source.quarantine_runs.filter(state__in=GOES_ON).select_related("table__tenant"):
            # A run may end by itself meanwhile.
            with _ended_meanwhile():
                quarantine_runs.cancel(run)
        return _runs(source)


class DownloadView(Endpoint):
    """``GET`` streams the messages as NDJSON, with every byte that was sent."""

    scope = Scope.MANAGE
    arguments = ("reason", "column")

    @extend_schema(
        operation_id="download_quarantine",
        summary="Download messages that did not fit, as NDJSON",
        parameters=[DownloadQuerySerializer],
        responses={
            (200, "application/x-ndjson"): OpenApiTypes.STR,
            **PROBLEMS,
            **_AWAY,
        },
    )
    def get(self, request: Request, name: str) -> HttpResponseBase:
        caller = self.caller(request)
        source = own_source(caller, name)
        without_row_filters(caller)
        chosen = read_arguments(DownloadQuerySerializer, request)
        selection = quarantine_runs.selected(
            source.table, chosen["reason"], chosen["column"], source
        )
        lines = download.lines(selection) if source.table.applied else iter(())
        with _translated(source):
            # The first page now, so that an error has a status of its own.
            first = next(lines, b"")
        record("quarantine.download", source.table, tenant=source.tenant)
        answer = StreamingHttpResponse(chain((first,), lines), content_type="application/x-ndjson")
        answer["Content-Disposition"] = f'attachment; filename="{source.name}.ndjson"'
        return answer


def _runs(source: Source) -> HttpResponse:
    runs = source.quarantine_runs.all()[:LISTED]
    return JsonResponse(RunsSerializer({"runs": runs}).data)


@contextmanager
def _ended_meanwhile() -> Iterator[None]:
    try:
        yield
    except RunRefused as error:
        log.info("Not cancelled: %s", error)


@contextmanager
def _translated(source: Source) -> Iterator[None]:
    try:
        yield
    except (RepairRefused, RepairFailed) as error:
        raise Problem(422, "repair_refused", str(error)) from error
    except RunRefused as error:
        raise Problem(409, "refused", str(error)) from error
    except (IngestionError, WarehouseError) as error:
        log.warning("Quarantine of %s: %s", source, error)
        detail = "The quarantine can't be read at the moment. Try again later."
        raise later("unavailable", detail) from error
