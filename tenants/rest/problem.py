"""API errors as problem details (RFC 9457, application/problem+json).

    Problem (rest_framework.exceptions.APIException)
    └── any other exception of DRF or Django is turned into one by exception_handler

``code`` is stable and for programs; ``detail`` is for people. A bug of ours (500) does not reveal
its cause to the caller; the log has it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.db import OperationalError
from django.http import Http404, HttpResponse
from django.http.request import UnreadablePostError
from rest_framework import exceptions

log = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"


_RETRY = {"Retry-After": "2"}
#: Exceptions that are not bugs of ours. A subclass must come before its base class.
_KNOWN: dict[type[Exception], tuple[int, str, str]] = {
    Http404: (404, "not_found", "Nothing exists at this address."),
    PermissionDenied: (403, "permission_denied", "This key does not have permission to do that."),
    RequestDataTooBig: (413, "body_too_large", "The body is larger than this server accepts."),
    SuspiciousOperation: (400, "bad_request", "The request could not be read."),
    UnreadablePostError: (400, "bad_request", "The request could not be read."),
    OperationalError: (503, "unavailable", "The database does not answer. Try again in a moment."),
}


class Problem(exceptions.APIException):
    """An error that the caller receives as a problem document.

    ``status`` is the HTTP status; ``code`` is stable and listed in ``tenants.rest.codes``;
    ``detail`` says what was wrong and what to do; ``headers`` are added to the response and
    ``members`` to the document.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail, code)
        self.status_code = status
        self.code = code
        self.text = detail
        self.headers = dict(headers or {})
        self.members = members


def not_found(detail: str = "Nothing exists at this address.") -> Problem:
    return Problem(404, "not_found", detail)


def response(problem: Problem) -> HttpResponse:
    """``problem`` as an HTTP response."""
    document = {
        "type": f"urn:millrace:problem:{problem.code}",
        "title": HTTPStatus(problem.status_code).phrase,
        "status": problem.status_code,
        "code": problem.code,
        "detail": problem.text,
        **problem.members,
    }
    # A detail may quote a name of the caller's with half of a surrogate pair, which UTF-8 does not
    # have; backslashreplace writes it as JSON's own escape.
    text = json.dumps(document, ensure_ascii=False)
    return HttpResponse(
        text.encode("utf-8", "backslashreplace"),
        content_type=CONTENT_TYPE,
        status=problem.status_code,
        headers=problem.headers,
    )


def exception_handler(error: Exception, context: Mapping[str, Any]) -> HttpResponse:
    """DRF's hook, called for every exception that a view raises."""
    problem = of(error)
    if problem.status_code == HTTPStatus.INTERNAL_SERVER_ERROR:
        request = context.get("request")
        path = request.path if request is not None else "?"
        log.error("Unhandled error at %s", path, exc_info=error)
    return response(problem)


def of(error: Exception) -> Problem:
    """``error`` as a Problem for the caller."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, exceptions.APIException):
        return _of_drf(error)
    for kind, (status, code, detail) in _KNOWN.items():
        if isinstance(error, kind):
            return Problem(status, code, detail, headers=_RETRY if status == 503 else None)
    detail = "An internal error occurred and has been logged. Try again later."
    return Problem(500, "internal_error", detail)


def _of_drf(error: exceptions.APIException) -> Problem:
    headers = {}
    header = getattr(error, "auth_header", None)
    if header:
        headers["WWW-Authenticate"] = header
    wait = getattr(error, "wait", None)
    if wait:
        headers["Retry-After"] = str(int(wait))
    codes = error.get_codes()
    code = codes if isinstance(codes, str) else "invalid"
    detail = error.detail if isinstance(error.detail, str) else "The request is not valid."
    members = {} if isinstance(error.detail, str) else {"errors": error.detail}
    return Problem(error.status_code, code, str(detail), headers=headers, **members)
