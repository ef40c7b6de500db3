"""``/api/v1/sql``: SQL of the caller's own, through the same guard and limits as a saved query."""

from __future__ import annotations

from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from analytics_api import problems, restrictions
from analytics_api.api import FORMAT, PROBLEMS, Running, chosen_format, json_body
from analytics_api.guard import QueryRefused
from analytics_api.parameters import load
from analytics_api.selectors import Published
from analytics_api.services import Checked, check_query
from tenants.api.authentication import Caller
from tenants.api.body import refuse_unknown
from tenants.api.fields import Text
from tenants.api.problem import Problem
from tenants.api.recent import Recent
from tenants.models import Scope, Tenant
from tenants.plans.allowance import Allowance
from tenants.warehouse.errors import WarehouseError

#: A statement that was checked is not checked again for this many seconds.
MEMORY_SECONDS = 5.0
_MEMBERS = ("sql", "parameters")
_recent: Recent[tuple[object, ...], Checked] = Recent(MEMORY_SECONDS, size=1_000)


class SQLSerializer(serializers.Serializer):  # type: ignore[type-arg]
    closed = True
    sql = Text(min_length=1, help_text="One SELECT, with parameters as `{name:Type}`.")
    parameters = serializers.DictField(required=False, help_text="Their values, by name.")


class SQLView(Running):
    """``POST``: run one SELECT over the tenant's tables."""

    scope = Scope.QUERIES_SQL
    arguments = ("format",)

    @extend_schema(
        operation_id="run_sql",
        summary="Run one SELECT of your own over the tenant's tables",
        parameters=[FORMAT],
        request=SQLSerializer,
        responses={
            200: OpenApiTypes.BINARY,
            415: OpenApiTypes.OBJECT,
            **PROBLEMS,
            400: OpenApiResponse(
                OpenApiTypes.OBJECT, description="The body or a parameter is not as it should be."
            ),
            422: OpenApiResponse(
                OpenApiTypes.OBJECT,
                description="The SQL is refused (`position` says where), or went over a limit.",
            ),
        },
    )
    def post(self, request: Request) -> HttpResponseBase:
        """Check it as a saved query is checked, then run it."""
        form = chosen_format(request, "", request.query_params.getlist("format"))
        body = json_body(request)
        refuse_unknown(body, _MEMBERS)
        sql, values = body.get("sql"), body.get("parameters", {})
        if not isinstance(values, dict) or not isinstance(sql, str) or not sql:
            detail = 'Send {"sql": "SELECT …", "parameters": {"name": value}}.'
            raise Problem(400, "body", detail)
        caller = self.caller(request)
        if caller.queries is not None:
            detail = "Your key is for certain saved queries, and not for SQL of your own."
            raise Problem(403, "queries_only", detail)
        checked = _checked(caller, sql, self.allowance)
        query = Published(
            "sql",
            "",
            0,
            checked.sql,
            load(checked.parameters),
            tuple(checked.parameters),
            tuple(checked.columns),
        )
        return self.run(request, query, form, values=values)


def _checked(caller: Caller, sql: str, granted: Allowance) -> Checked:
    """The statement as the guard lets it pass; raises Problem."""
    label = f"{caller.tenant_slug}.sql"
    try:
        return _recent.get((caller.tenant_id, caller.filters, sql), lambda: _check(caller, sql))
    except QueryRefused as error:
        detail, where = error.message, error.position
        raise Problem(422, "query_refused", detail, reason=error.code, position=where) from None
    except WarehouseError as error:
        raise problems.warehouse(error, label, granted) from error


def _check(caller: Caller, sql: str) -> Checked:
    tenant = Tenant.objects.select_related("warehouse").get(pk=caller.tenant_id)
    label = f"{caller.tenant_slug}.sql"
    return check_query(
        tenant, sql, filters=lambda text: restrictions.row_filters(caller, text, label)
    )
