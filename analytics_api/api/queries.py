"""The endpoints: a tenant's published queries, by API key."""

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
#: A result, in each of the media types in which one can be had.
RESULTS = {(200, form.content_type.partition(";")[0]): OpenApiTypes.BINARY for form in FORMATS}
PROBLEMS = {
    status: OpenApiResponse(OpenApiTypes.OBJECT, description=words)
    for status, words in {
        400: "A parameter is missing, unknown or not of its type; `errors` has all of them.",
        401: "The key is missing or not valid.",
        403: "The tenant is suspended, or the key may not do this: `code` says why.",
        404: "The tenant has no published query of that name.",
        406: "None of the formats in Accept can be had (`not_acceptable`), or the format can't "
        "hold the result (`format_unfit`): `column` says why, `formats` what can.",
        422: "The query went over a limit, or can't be run on these values.",
        429: "The tenant's calls hold its share of the server (`busy`), or a limit of its plan is "
        "reached: which, its value, and when it lifts.",
        502: "The query failed.",
        503: "The engine does not answer; Retry-After says when to try again.",
        504: "The query took too long.",
    }.items()
}
_PATH = OpenApiParameter(
    "name",
    OpenApiTypes.STR,
    OpenApiParameter.PATH,
    description="The query's name, also with a format's ending: `late_flights.csv`.",
)
FORMAT = OpenApiParameter(
    "format",
    OpenApiTypes.STR,
    enum=list(BY_NAME),
    description="How the result is written. Without it, Accept decides. In the ones that are "
    "`-quoted` integers of 64 bits and more, Decimals, NaN and infinities are texts.",
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
        found = [
            _listed(one, caller)
            for one in published.all_published(caller.tenant_id)
            if caller.may_run(one.name) and restrictions.fits(caller, one.parameters)
        ]
        return JsonResponse({"queries": found})


def _listed(query: Published, caller: Caller) -> dict[str, Any]:
    """A query, without the parameters that are fixed for the caller."""
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
    """An address that runs a query."""

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
        """Run it as the caller, held to what the caller's key says."""
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
        """The result; raises Problem, of a failed query by trying whose fault it is."""
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
    """A published query: GET with parameters in the address, POST with a JSON object of them."""

    scope = Scope.QUERIES_RUN
    arguments = None  # they are the query's own

    @extend_schema(
        operation_id="run_query",
        summary="Run a published query, its parameters in the address",
        description="Every other name in the query string is a parameter of the query. "
        "An array is given by repeating its name, or as JSON.",
        parameters=[_PATH, FORMAT],
        responses={**RESULTS, **PROBLEMS},
    )
    def get(self, request: Request, name: str) -> HttpResponseBase:
        pairs = _pairs(request)
        query, form = self._find(request, name, pairs.pop("format", ()))
        return self.run(request, query, form, from_query=pairs)

    @extend_schema(
        operation_id="run_query_with_body",
        summary="Run a published query, its parameters in a JSON object",
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
            known = ", ".join(f"{name}.{one}" for one in BY_NAME)
            detail = f"The query {name} can't be had as .{ending}. There are {known}."
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
    """Names and values of the query string, as Django reads it, for a third of what that costs."""
    text = request.META.get("QUERY_STRING", "")
    if not text:
        return {}
    most: int = settings.DATA_UPLOAD_MAX_NUMBER_FIELDS
    try:
        decoded = text.encode("latin-1").decode("utf-8")  # PEP 3333
        return parse_qs(decoded, keep_blank_values=True, max_num_fields=most, errors="strict")
    except UnicodeDecodeError:
        detail = "The address has bytes that are not UTF-8. Write them as UTF-8, in per cents."
        raise Problem(400, "parameters", detail) from None
    except ValueError:
        detail = f"The address has more than {most} parameters. Send them in the body, with POST."
        raise Problem(400, "parameters", detail) from None


def chosen_format(request: Request, ending: str, given: Sequence[str]) -> ResultFormat:
    """By the address's ending or the ``?format=`` that is ``given``, else by Accept."""
    if not set(given) <= BY_NAME.keys():
        detail = f"There is no such format. These are: {', '.join(BY_NAME)}."
        raise Problem(400, "format", detail, formats=list(BY_NAME))
    named = {*given, ending} - {""}
    if len(named) > 1:
        detail = f"The address asks for {' and '.join(sorted(named))}. Name one format, once."
        raise Problem(400, "format", detail)
    if named:
        return BY_NAME[named.pop()]
    form = accepted(request.META.get("HTTP_ACCEPT", ""))
    if form is None:
        known = [media for one in BY_NAME.values() for media in one.media_types]
        detail = f"A result can be had as {', '.join(known)}."
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
    """A large result. Django closes the file when the response is over."""

    block_size = CHUNK_BYTES
