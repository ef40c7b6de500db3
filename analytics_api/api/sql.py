"""``/api/v1/sql``: runs the caller's own SQL, under the guard and limits of saved queries."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from analytics_api.api import problems, restrictions
from analytics_api.api.queries import (
    FORMAT,
    PROBLEMS,
    RESULTS,
    Running,
    account_of,
    chosen_format,
)
from analytics_api.blame import is_of_the_query
from analytics_api.guard import QueryRefused
from analytics_api.guarded import Guarded, by_engine, guard_query
from analytics_api.identifiers import chosen_by_caller, filled
from analytics_api.parameters import ParametersRefused, bind, load
from analytics_api.selectors.published import Published
from analytics_api.services.saved_queries import place_of
from analytics_api.statement_trial import TriedStatement
from tenants.models import Scope, Tenant
from tenants.recent import Recent
from tenants.rest.authentication import Caller
from tenants.rest.body import BodySerializer, read
from tenants.rest.fields import Text
from tenants.rest.problem import Problem
from tenants.warehouse.errors import StatementFailed, WarehouseError

#: How many seconds a checked statement is remembered; then it is checked again.
MEMORY_SECONDS = 5.0
_guarded: Recent[tuple[object, ...], Guarded] = Recent(MEMORY_SECONDS, size=1_000)
_tried: Recent[tuple[object, ...], list[dict[str, str]]] = Recent(MEMORY_SECONDS, size=1_000)


class SQLSerializer(BodySerializer):
    exact_numbers = True  # values of parameters keep all their digits

    sql = Text(min_length=1, help_text="One SELECT, with parameters as `{name:Type}`.")
    parameters = serializers.DictField(
        required=False, help_text="Values of the parameters, by name."
    )


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
            **RESULTS,
            **PROBLEMS,
            400: OpenApiResponse(
                OpenApiTypes.OBJECT, description="The body or a parameter is not valid."
            ),
            422: OpenApiResponse(
                OpenApiTypes.OBJECT,
                description="The SQL is refused (`position` says where), or exceeds a limit.",
            ),
        },
    )
    def post(self, request: Request) -> HttpResponseBase:
        """Check the SQL as a saved query is checked, then run it."""
        form = chosen_format(request, "", request.query_params.getlist("format"))
        body = read(SQLSerializer, request)
        sql, values = body["sql"], body.get("parameters", {})
        caller = self.caller(request)
        if caller.queries is not None:
            detail = "Your key may run certain saved queries, but not SQL of your own."
            raise Problem(403, "queries_only", detail)
        query = self._query(caller, sql, values)
        return self.run(request, query, form, values=values)

    def _query(self, caller: Caller, sql: str, values: dict[str, Any]) -> Published:
        """The statement, checked with the values that it will run with; raises Problem."""
        label = f"{caller.tenant_slug}.sql"
        try:
            described = chosen_by_caller(sql, {**values, **caller.parameters})
            key = (caller.tenant_id, sql, repr(described))
            guarded = _guarded.get(key, lambda: _guard(caller, sql, described))
            parameters = load(guarded.parameters)
            given = restrictions.with_fixed(caller, parameters, values)
            bound = bind(parameters, given)
            text, _ = filled(guarded.sql, parameters, bound)
            filters = restrictions.row_filters(caller, text, label)
            account = account_of(caller, self.allowance)
            requested = tuple(guarded.settings.items())
            tried = TriedStatement(account, guarded.sql, parameters, filters, requested)
            columns = tuple(_columns(caller, tried, bound))
        except QueryRefused as error:
            detail, where = error.message, error.position
            raise Problem(422, "query_refused", detail, reason=error.code, position=where) from None
        except ParametersRefused as error:
            raise problems.parameters(error) from None
        except WarehouseError as error:
            raise problems.warehouse(error, label, self.allowance) from error
        stored = tuple(guarded.parameters)
        return Published("sql", "", 0, guarded.sql, parameters, stored, columns, requested)


def _guard(caller: Caller, sql: str, described: dict[str, Any]) -> Guarded:
    tenant = Tenant.objects.select_related("warehouse").get(pk=caller.tenant_id)
    return guard_query(place_of(tenant).database, sql, described)


def _columns(caller: Caller, tried: TriedStatement, bound: dict[str, str]) -> list[dict[str, str]]:
    """The result's columns with these values, as ClickHouse describes them.

    Raises QueryRefused with ClickHouse's message, and WarehouseError.
    """
    values = sha256(repr(sorted(bound.items())).encode()).digest()
    key = (caller.tenant_id, tried.filters, tried.settings, tried.sql, values)
    return _tried.get(key, lambda: _analysed(tried, bound))


def _analysed(tried: TriedStatement, bound: dict[str, str]) -> list[dict[str, str]]:
    try:
        return tried.columns(bound)
    except StatementFailed as error:
        if is_of_the_query(error):
            raise by_engine(error) from None
        raise
