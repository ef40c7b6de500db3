"""What a failure of the warehouse is to the caller of an endpoint.

The engine's own words stay here: they may quote the query, which not every caller may read. They
go to the log. The name of ClickHouse's error is told, so that a tenant can ask about it.
"""

from __future__ import annotations

import logging
import re

from django.conf import settings

from analytics_api.engine.answer import MAX_BYTES, AnswerTooLong, BrokenAnswer
from analytics_api.parameters import ParametersRefused
from tenants.api.problem import Problem
from tenants.plans.allowance import Allowance
from tenants.warehouse.errors import StatementFailed, WarehouseError

log = logging.getLogger(__name__)
_NAME = re.compile(r"\(([A-Z][A-Z0-9_]{2,60})\)\s*\Z")

#: Limits of a query: ClickHouse's code -> (the limit's name, the setting that has its value).
_LIMITS = {
    158: ("rows read", "MILLRACE_QUERY_READ_ROWS"),
    159: ("seconds", "MILLRACE_QUERY_SECONDS"),
    160: ("seconds", "MILLRACE_QUERY_SECONDS"),
    241: ("bytes of memory", "MILLRACE_QUERY_MEMORY_BYTES"),
    307: ("bytes of the result", "MILLRACE_QUERY_RESULT_BYTES"),
    396: ("rows or bytes of the result", "MILLRACE_QUERY_RESULT_ROWS"),
}
_ROWS, _BYTES = 158, 307
#: How ClickHouse's message of TOO_MANY_BYTES begins where it is about a result.
_RESULT = "Limit for result exceeded"
#: The data or the parameters don't suit the query: conversion, arithmetic, sizes, patterns.
_DATA = frozenset({6, 27, 38, 41, 43, 53, 69, 70, 72, 128, 131, 153, 190, 321, 349, 395, 407, 427})
#: Something that the query names is gone or has changed.
_OUTDATED = frozenset({8, 10, 16, 36, 42, 46, 47, 60, 62, 81, 179, 215, 386, 497})
#: The warehouse is being made, or its limits are being changed.
_NOT_READY = frozenset({164, 192, 193, 194, 452, 516})


def parameters(error: ParametersRefused) -> Problem:
    count = len(error.problems)
    detail = "One parameter is wrong." if count == 1 else f"{count} parameters are wrong."
    errors = [{"name": one.name, "message": one.message} for one in error.problems]
    return Problem(400, "parameters", detail, errors=errors)


def warehouse(error: WarehouseError, query: str, granted: Allowance) -> Problem:
    """The problem that ``error`` is, while ``query`` (tenant.name) was run."""
    if isinstance(error, StatementFailed):
        return _statement(error, query, granted)
    if isinstance(error, BrokenAnswer):
        log.warning("%s: %s", query, error)
        return Problem(502, "broken_answer", "The engine failed while it answered. Try again.")
    if isinstance(error, AnswerTooLong):
        return _limit_of(422, "bytes of the result", MAX_BYTES)
    log.warning("%s: %s", query, error)
    return _unavailable("The analytics engine does not answer. Try again in a moment.")


def _unavailable(detail: str, seconds: int = 2) -> Problem:
    return Problem(503, "unavailable", detail, headers={"Retry-After": str(seconds)})


def _statement(error: StatementFailed, query: str, granted: Allowance) -> Problem:
    log.warning("%s: %s", query, error)
    if error.code in _LIMITS:
        return _limit(error, granted)
    if error.code == 201:
        detail = "This tenant's quota of queries is used up. Try again in a minute."
        return Problem(429, "quota", detail, headers={"Retry-After": "60"})
    if error.code == 202:
        return _unavailable("Too many queries run at this moment. Try again.", 1)
    if error.code in _NOT_READY:
        return _unavailable("This tenant's warehouse is not ready yet. Try again in a moment.", 5)
    return _failed(error)


def _limit(error: StatementFailed, granted: Allowance) -> Problem:
    name, setting = _LIMITS[error.code]
    value: int = getattr(settings, setting)
    if error.code == _ROWS:
        value = granted.query_rows or value
    elif error.code == _BYTES and granted.query_bytes and _RESULT not in error.message:
        name, value = "bytes read", granted.query_bytes
    return _limit_of(504 if error.code in (159, 160) else 422, name, value)


def _limit_of(status: int, name: str, value: int) -> Problem:
    detail = f"The query went over its limit of {value:,} {name}. Ask for less at a time."
    return Problem(status, "limit", detail, limit=name, value=value)


def _failed(error: StatementFailed) -> Problem:
    found = _NAME.search(error.message)
    name = found[1] if found else f"code {error.code}"
    if error.code in _DATA:
        detail = f"The query can't be run on these parameters and data: {name}."
        return Problem(422, "query_failed", detail, clickhouse=name)
    if error.code in _OUTDATED:
        detail = f"The query no longer fits its tables ({name}). It must be published again."
        return Problem(502, "query_outdated", detail, clickhouse=name)
    return Problem(502, "query_failed", f"The query failed: {name}.", clickhouse=name)
