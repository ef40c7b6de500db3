"""``/api/v1/tables/<name>/kept-columns``: columns without a description, and dropping them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.http import HttpResponse, JsonResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request

from ingestion.api.removal import failing, later, own
from ingestion.api.serializers import DropColumnSerializer, KeptColumnsSerializer
from ingestion.api.sources import PROBLEM, PROBLEMS
from ingestion.errors import IngestionError, NotConfirmed
from ingestion.models import Table
from ingestion.services import kept_columns
from tenants.models import Scope
from tenants.rest.authentication import Caller
from tenants.rest.body import read
from tenants.rest.endpoint import Endpoint
from tenants.rest.problem import Problem
from tenants.warehouse.errors import StatementFailed, WarehouseError

log = logging.getLogger(__name__)

_AWAY = {
    (503, PROBLEM): OpenApiResponse(
        OpenApiTypes.OBJECT,
        "The table is being altered, or the engine does not answer; see Retry-After.",
    )
}


class KeptColumnsView(Endpoint):
    """``GET``: which there are. ``POST``: drop one of them with its data."""

    scope = Scope.MANAGE

    @extend_schema(
        operation_id="list_kept_columns",
        summary="List the columns that a table keeps without their being described",
        responses={200: KeptColumnsSerializer, **PROBLEMS, **_AWAY},
    )
    def get(self, request: Request, name: str) -> HttpResponse:
        """Tell of each what hinders that it is dropped, and which saved queries name it."""
        caller = self.caller(request)
        return _told(own(Table, caller, name), caller)

    @extend_schema(
        operation_id="drop_kept_column",
        summary="Drop a column that is not described any more, with its data on all parts",
        request=DropColumnSerializer,
        responses={
            200: KeptColumnsSerializer,
            **PROBLEMS,
            (409, PROBLEM): OpenApiResponse(
                OpenApiTypes.OBJECT, "`confirm` is not its name, or it can't be dropped."
            ),
            **_AWAY,
        },
    )
    def post(self, request: Request, name: str) -> HttpResponse:
        """Drop it; tell which are left."""
        caller = self.caller(request)
        table, asked = own(Table, caller, name), read(DropColumnSerializer, request)
        if caller.filters:
            detail = "Your key has row filters. What is dropped goes beyond the rows it may see."
            raise Problem(403, "row_filter", detail)
        with _translated():
            kept_columns.drop_column(table, asked["column"], asked["confirm"])
        return _told(table, caller)


def _told(table: Table, caller: Caller) -> HttpResponse:
    with _translated():
        columns = kept_columns.kept_columns(table)
    found: list[dict[str, Any]] = [
        {"name": one.name, "type": one.type, "hindrance": one.hindrance}
        | failing(kept_columns.failing_queries(table, one.name), caller)
        for one in columns
    ]
    return JsonResponse(KeptColumnsSerializer({"columns": found}).data)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except NotConfirmed as error:
        raise Problem(409, "not_confirmed", str(error)) from error
    except kept_columns.CannotDrop as error:
        raise Problem(409, "cannot_drop", str(error)) from error
    except IngestionError as error:
        raise later("busy", str(error)) from error
    except StatementFailed as error:
        log.warning("Kept columns: %s", error)
        detail = "ClickHouse refuses it, as something that was added by hand depends on it."
        raise Problem(409, "cannot_drop", detail) from error
    except WarehouseError as error:
        log.warning("Kept columns: %s", error)
        detail = "The engine does not answer. It is safe to repeat this."
        raise later("unavailable", detail) from error
