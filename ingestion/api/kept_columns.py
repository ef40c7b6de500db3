"""``/api/v1/tables/<name>/kept-columns``: list and drop columns that are no longer described."""

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
        "The table is being altered, or ClickHouse does not answer; see Retry-After.",
    )
}


class KeptColumnsView(Endpoint):
    """``GET`` lists the kept columns; ``POST`` drops one of them with its data."""

    scope = Scope.MANAGE

    @extend_schema(
        operation_id="list_kept_columns",
        summary="List the columns that a table keeps after they were removed from its description",
        responses={200: KeptColumnsSerializer, **PROBLEMS, **_AWAY},
    )
    def get(self, request: Request, name: str) -> HttpResponse:
        """Show why each column can't be dropped, if so, and which saved queries name it."""
        caller = self.caller(request)
        return _response(own(Table, caller, name), caller)

    @extend_schema(
        operation_id="drop_kept_column",
        summary="Drop a kept column with its data on all parts",
        request=DropColumnSerializer,
        responses={
            200: KeptColumnsSerializer,
            **PROBLEMS,
            (409, PROBLEM): OpenApiResponse(
                OpenApiTypes.OBJECT,
                "`confirm` is not the column's name, or the column can't be dropped.",
            ),
            **_AWAY,
        },
    )
    def post(self, request: Request, name: str) -> HttpResponse:
        """Drop the column, and list those that are left."""
        caller = self.caller(request)
        table, body = own(Table, caller, name), read(DropColumnSerializer, request)
        if caller.filters:
            detail = (
                "Your key has row filters, and a column has data of rows that it may not see. Use "
                "a key without row filters."
            )
            raise Problem(403, "row_filter", detail)
        with _translated():
            kept_columns.drop_column(table, body["column"], body["confirm"])
        return _response(table, caller)


def _response(table: Table, caller: Caller) -> HttpResponse:
    with _translated():
        columns = kept_columns.kept_columns(table)
    described: list[dict[str, Any]] = [
        {"name": column.name, "type": column.type, "hindrance": column.hindrance}
        | failing(kept_columns.failing_queries(table, column.name), caller)
        for column in columns
    ]
    return JsonResponse(KeptColumnsSerializer({"columns": described}).data)


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
        # ClickHouse's own message goes to the log, not to the caller.
        detail = "ClickHouse refused, because something that was added by hand uses the column."
        raise Problem(409, "cannot_drop", detail) from error
    except WarehouseError as error:
        log.warning("Kept columns: %s", error)
        detail = "ClickHouse does not answer. It is safe to repeat this request."
        raise later("unavailable", detail) from error
