"""``POST /api/v1/sources/<name>/reset``: moves a source's position; a preview unless confirmed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.http import HttpResponse, JsonResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request

from ingestion.api.removal import later
from ingestion.api.serializers import ResetRequestSerializer, ResetSerializer
from ingestion.api.sources import PROBLEM, PROBLEMS, own_source
from ingestion.errors import IngestionError
from ingestion.models import Source
from ingestion.services.resets import CannotReset, ResetTarget, Where, preview, reset
from tenants.audit import record
from tenants.models import Scope
from tenants.rest.body import read
from tenants.rest.endpoint import Endpoint
from tenants.rest.problem import Problem
from tenants.warehouse.errors import RunningAlready, WarehouseError

log = logging.getLogger(__name__)


class ResetView(Endpoint):
    """``POST`` previews a reset, or does it with ``"confirm": true``.

    Rows that are already in the table are not inserted twice, unless ``doubles`` is sent.
    """

    scope = Scope.MANAGE

    @extend_schema(
        operation_id="reset_source",
        summary="Preview or do a reset of a source to its start, its end, an offset or a time",
        description='Nothing changes without `"confirm": true`.',
        request=ResetRequestSerializer,
        responses={
            200: ResetSerializer,
            **PROBLEMS,
            (400, PROBLEM): OpenApiResponse(
                OpenApiTypes.OBJECT, "The body does not say where the source is to continue."
            ),
            (409, PROBLEM): OpenApiResponse(
                OpenApiTypes.OBJECT, "The source can't be reset like this, or not now."
            ),
            (503, PROBLEM): OpenApiResponse(
                OpenApiTypes.OBJECT,
                "The broker or ClickHouse does not answer or is busy with the source; see "
                "Retry-After.",
            ),
        },
    )
    def post(self, request: Request, name: str) -> HttpResponse:
        """Reset the source if it is confirmed, else preview the reset."""
        source = own_source(self.caller(request), name)
        body = read(ResetRequestSerializer, request)
        target = ResetTarget(
            Where(body["to"]), body.get("offset"), body.get("time"), body.get("partition")
        )
        is_confirmed, is_preview = body.pop("confirm"), body.pop("preview")
        with _translated(source):
            if is_done := is_confirmed and not is_preview:
                moves = reset(source, target, doubles=body["doubles"])
                record("source.reset", source, tenant=source.tenant, detail=dict(body))
            else:
                moves = preview(source, target)
        return JsonResponse(ResetSerializer({"done": is_done, "partitions": moves}).data)


@contextmanager
def _translated(source: Source) -> Iterator[None]:
    try:
        yield
    except CannotReset as error:
        raise Problem(409, "cannot_reset", str(error)) from error
    except RunningAlready as error:
        # Its message says what to do if it lasts. Those of other errors may name a broker's
        # address, so the caller does not see them.
        raise later("busy", str(error)) from error
    except (IngestionError, WarehouseError) as error:
        log.warning("Reset of %s: %s", source, error)
        detail = "The source's broker or ClickHouse does not answer. Try again later."
        raise later("unavailable", detail) from error
