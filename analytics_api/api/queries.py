"""The endpoints that list and run a tenant's published queries, for callers with an API key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from django.conf import settings
from django.http import FileResponse, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request

from analytics_api.api import format_limits, problems, restrictions
from analytics_api.api.result_formats import BY_NAME, FORMATS, ResultFormat, accepted, compression
from analytics_api.identifiers import filled
from analytics_api.parameters import ParametersRefused, bind, from_query_string, may_be_left_out
from analytics_api.query_client import Account, Answer, NotText, QueryCall, ask
from analytics_api.query_client.answer import CHUNK_BYTES
from analytics_api.selectors import published
from analytics_api.selectors.published import Published
from analytics_api.statement_trial import TriedStatement, verdict
from tenants.models import Scope
from tenants.plans.allowance import Allowance
from tenants.rest.authentication import Caller
from tenants.rest.body import document
from tenants.rest.endpoint import Endpoint
from tenants.rest.problem import Problem, not_found
from tenants.warehouse.errors import StatementFailed, WarehouseError

_VARY = "Accept, Accept-Encoding, Authorization"
#: A successful response, in every media type that a result can have.
RESULTS = {(200, form.content_type.partition(";")[0]): OpenApiTypes.BINARY for form in FORMATS}
PROBLEMS = {
    status: OpenApiResponse(OpenApiTypes.OBJECT, description=words)
    for status, words in {
        400: "A parameter is missing, unknown or not of its type. `errors` lists all of them.",
        401: "The key is missing or not valid.",
        403: "The tenant is suspended, or the key may not do this. `code` says why.",
        404: "The tenant has no published query of that name.",
        406: "None of the formats in Accept is available (`not_acceptable`), or the format can't "
        "hold the result (`format_unfit`): `column` is the column that does not fit, `formats` are "
        "the formats that can hold it.",
        422: "The query exceeds a limit, or fails on these values.",
        429: "The tenant's calls use its whole share of the server (`busy`), or the tenant has "
        "reached a limit of its plan: the problem has the limit, its value and when it lifts.",
        502: "The query failed.",
        503: "ClickHouse does not answer. Retry-After says when to try again.",
        504: "The query took too long.",
    }.items()
}
_PATH = OpenApiParameter(
    "name",
    OpenApiTypes.STR,
    OpenApiParameter.PATH,
    description="The query's name. It may end with a format: `late_flights.csv`.",
)
FORMAT = OpenApiParameter(
    "format",
    OpenApiTypes.STR,
    enum=list(BY_NAME),
    description="The format of the result. Without it, the Accept header decides. The `-quoted` "
    "formats write integers of 64 bits and more, Decimals, NaN and infinities as strings.",
)


class QueriesView(Endpoint):
    """The tenant's published queries."""

    scope = Scope.QUERIES_RUN

    @extend_schema(
        operation_id="list_queries",
        summary="List the published queries with their parameters and columns",
        responses={
            200: OpenApiTypes.OBJECT,
            **{status: PROBLEMS[status] for status in (401, 403, 429)},
        },
    )
    def get(self, request: Request) -> HttpResponse:
        caller = self.caller(request)
        queries = [
            _listed(query, caller)
            for query in published.all_published(caller.tenant_id)
            if caller.may_run(query.name) and restrictions.fits(caller, query.parameters)
        ]
        return JsonResponse({"queries": queries})


def _listed(query: Published, caller: Caller) -> dict[str, Any]:
    """A query as the list shows it, without the parameters that the caller's key sets."""
    return {
        "name": query.name,
        "description": query.description,
        "version": query.number,
        "url": f"/api/v1/queries/{query.name}",
        "parameters": [
            {**stored, "required": not may_be_left_out(stored)}
            for stored in query.stored
            if stored["name"] not in caller.parameters
        ],
        "columns": list(query.columns),
    }


class Running(Endpoint):
    """The base of endpoints that run a query."""

    is_query = True

    def run(
        self,
        request: Request,
        query: Published,
        form: ResultFormat,
        *,
        from_query: Mapping[str, Sequence[str]] | None = None,
        values: dict[str, Any] | None = None,
    ) -> HttpResponseBase:
        """Run the query as the caller, within the restrictions of the caller's key.

        Raises Problem.
        """
        caller = self.caller(request)
        label = f"{caller.tenant_slug}.{query.name}"
        format_limits.check(form, query.sql, query.columns)
        account = account_of(caller, self.allowance)
        try:
            if from_query is not None:
                restrictions.check_given(caller, from_query)
                values = from_query_string(query.parameters, from_query)
            given = restrictions.with_fixed(caller, query.parameters, values or {})
            bound = bind(query.parameters, given)
            sql, _ = filled(query.sql, query.parameters, bound)
            filters = restrictions.row_filters(caller, sql, label)
        except ParametersRefused as error:
            raise problems.parameters(error) from None
        except WarehouseError as error:
            raise problems.warehouse(error, label, self.allowance) from error
        encoding = compression(request.META.get("HTTP_ACCEPT_ENCODING", ""))
        tried = TriedStatement(account, query.sql, query.parameters, filters, query.settings)
        answer = self._ask(tried, bound, form, encoding, label)
        self.did = (1, answer.rows_read, answer.bytes_read, 0, 0)
        return _response(answer, query, form)

    def _ask(
        self,
        tried: TriedStatement,
        bound: Mapping[str, str],
        form: ResultFormat,
        encoding: str,
        label: str,
    ) -> Answer:
        """The result; raises Problem. A failed query is tried again to find whose fault it is."""
        sql, put = filled(tried.sql, tried.parameters, bound)
        try:
            return ask(tried.account, _call(tried, sql, put, form, encoding))
        except NotText as error:
            raise format_limits.not_text(form, error.column) from None
        except StatementFailed as error:
            if problem := format_limits.refused(error, form):
                raise problem from error
            judge = partial(verdict, tried, bound)
            raise problems.failed(error, label, self.allowance, judge) from error
        except WarehouseError as error:
            raise problems.warehouse(error, label, self.allowance) from error


class QueryView(Running):
    """Runs a published query. GET takes parameters in the query string, POST in a JSON object."""

    scope = Scope.QUERIES_RUN
    arguments = None  # each query has its own

    @extend_schema(
        operation_id="run_query",
        summary="Run a published query with parameters in the query string",
        description="Every other name in the query string is a parameter of the query. "
        "Give an array by repeating its name, or as JSON.",
        parameters=[_PATH, FORMAT],
        responses={**RESULTS, **PROBLEMS},
    )
    def get(self, request: Request, name: str) -> HttpResponseBase:
        pairs = _pairs(request)
        query, form = self._find(request, name, pairs.pop("format", ()))
        return self.run(request, query, form, from_query=pairs)

    @extend_schema(
        operation_id="run_query_with_body",
        summary="Run a published query with parameters in a JSON object",
        parameters=[_PATH, FORMAT],
        request=OpenApiTypes.OBJECT,
        responses={**RESULTS, **PROBLEMS},
    )
    def post(self, request: Request, name: str) -> HttpResponseBase:
        pairs = _pairs(request)
        query, form = self._find(request, name, pairs.pop("format", ()))
        if pairs:
            detail = "With POST, parameters go in the body, as a JSON object."
            raise Problem(400, "parameters", detail)
        return self.run(request, query, form, values=document(request))

    def _find(
        self, request: Request, name: str, named: Sequence[str]
    ) -> tuple[Published, ResultFormat]:
        name, dot, ending = name.partition(".")
        caller = self.caller(request)
        query = published.published(caller.tenant_id, name) if caller.may_run(name) else None
        if query is None:
            raise not_found("There is no published query of that name.")
        if dot and ending not in BY_NAME:
            known = ", ".join(f"{name}.{form}" for form in BY_NAME)
            detail = f"The query {name} is not available as .{ending}. Use one of: {known}."
            raise Problem(404, "format", detail, formats=list(BY_NAME))
        return query, chosen_format(request, ending, named)


def _call(
    tried: TriedStatement, sql: str, bound: Mapping[str, str], form: ResultFormat, encoding: str
) -> QueryCall:
    return QueryCall(
        sql,
        bound,
        form.clickhouse,
        encoding,
        tried.filters,
        tried.settings,
        form.settings,
        form.is_text,
        form.replaces,
    )


def account_of(caller: Caller, granted: Allowance) -> Account:
    return Account(
        caller.database, caller.username, caller.password, granted.query_rows, granted.query_bytes
    )


def _pairs(request: Request) -> dict[str, list[str]]:
    """Names and values of the query string, read as Django does in a third of the time."""
    text = request.META.get("QUERY_STRING", "")
    if not text:
        return {}
    most: int = settings.DATA_UPLOAD_MAX_NUMBER_FIELDS
    try:
        decoded = text.encode("latin-1").decode("utf-8")  # PEP 3333
        return parse_qs(decoded, keep_blank_values=True, max_num_fields=most, errors="strict")
    except UnicodeDecodeError:
        detail = "The address has bytes that are not UTF-8. Percent-encode it as UTF-8."
        raise Problem(400, "parameters", detail) from None
    except ValueError:
        detail = f"The address has more than {most} parameters. Send them in the body, with POST."
        raise Problem(400, "parameters", detail) from None


def chosen_format(request: Request, ending: str, given: Sequence[str]) -> ResultFormat:
    """The format of the address's ending or of ``?format=`` (``given``), else of Accept.

    Raises Problem if there is no such format, or if the address names two.
    """
    if not set(given) <= BY_NAME.keys():
        detail = f"The address names an unknown format. Use one of: {', '.join(BY_NAME)}."
        raise Problem(400, "format", detail, formats=list(BY_NAME))
    named = {*given, ending} - {""}
    if len(named) > 1:
        detail = f"The address names the formats {' and '.join(sorted(named))}. Name only one."
        raise Problem(400, "format", detail)
    if named:
        return BY_NAME[named.pop()]
    form = accepted(request.META.get("HTTP_ACCEPT", ""))
    if form is None:
        known = [media_type for known_form in FORMATS for media_type in known_form.media_types]
        detail = f"Accept allows no format that is available. Use one of: {', '.join(known)}."
        raise Problem(406, "not_acceptable", detail, formats=list(BY_NAME))
    return form


def _response(answer: Answer, query: Published, form: ResultFormat) -> HttpResponseBase:
    headers = {
        "Cache-Control": "no-store",
        "Content-Length": str(answer.size),
        "Vary": _VARY,
        "X-Millrace-Query-Id": answer.query_id,
    }
    if query.number:
        headers["X-Millrace-Query-Version"] = str(query.number)
    if answer.encoding:
        headers["Content-Encoding"] = answer.encoding
    if answer.file is None:
        return HttpResponse(answer.content, content_type=form.content_type, headers=headers)
    return FileAnswer(answer.file, content_type=form.content_type, headers=headers)


class FileAnswer(FileResponse):
    """A response with a large result. Django closes the file when the response is closed."""

    block_size = CHUNK_BYTES
