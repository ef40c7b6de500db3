"""``POST /api/v1/sources/<name>/reset``: where a source goes on, with a preview."""

from __future__ import annotations

import logging

from django.http import HttpResponse, JsonResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request

from ingestion.api.serializers import ResetRequestSerializer, ResetSerializer
from ingestion.api.sources import PROBLEM, PROBLEMS, own_source
from ingestion.errors import IngestionError
from ingestion.services.resets import CannotReset, ResetTarget, Where, preview, reset
from tenants.audit import record
from tenants.models import Scope
from tenants.rest.body import read
from tenants.rest.endpoint import Endpoint
from tenants.rest.problem import Problem
from tenants.warehouse.errors import WarehouseError

log = logging.getLogger(__name__)


class ResetView(Endpoint):
    """``POST``: go on from elsewhere. What is in the table already is not doubled."""

    scope = Scope.MANAGE

    @extend_schema(
        operation_id="reset_source",
        summary="Reset a source to its start, its end, an offset or a time",
        request=ResetRequestSerializer,
        responses={
            200: ResetSerializer,
            **PROBLEMS,
            (400, PROBLEM): OpenApiResponse(OpenApiTypes.OBJECT, "Where to, is not clear."),
            (409, PROBLEM): OpenApiResponse(OpenApiTypes.OBJECT, "The source can't be reset so."),
            (503, PROBLEM): OpenApiResponse(
                OpenApiTypes.OBJECT, "Broker or engine do not answer; see Retry-After."
            ),
        },
    )
    def post(self, request: Request, name: str) -> HttpResponse:
        """Preview it, or do it."""
        source = own_source(self.caller(request), name)
        asked = read(ResetRequestSerializer, request)
        target = ResetTarget(
            Where(asked["to"]), asked.get("offset"), asked.get("time"), asked.get("partition")
        )
        try:
            if asked["preview"]:
                moves = preview(source, target)
            else:
                moves = reset(source, target, doubles=asked["doubles"])
                record("source.reset", source, tenant=source.tenant, detail=dict(asked))
        except CannotReset as error:
            raise Problem(409, "cannot_reset", str(error)) from error
        except (IngestionError, WarehouseError) as error:
            log.warning("Reset of %s: %s", source, error)
            detail = "The source's broker, or the engine, does not answer. Try again later."
            raise Problem(503, "unavailable", detail, headers={"Retry-After": "5"}) from error
        found = {"done": not asked["preview"], "partitions": moves}
        return JsonResponse(ResetSerializer(found).data)
