"""How a failure of the warehouse is reported to the caller of an endpoint.

ClickHouse's own message goes to the log only: it may quote rows, or the query, which not every
caller may read. The caller gets the name of ClickHouse's error, so that a tenant can ask about it.
For a value that ClickHouse does not accept, the caller also gets its sentence about that value (see
``statement_trial``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from django.conf import settings

from analytics_api.blame import ENGINE, NOT_READY, is_own_limit
from analytics_api.parameters import ParameterProblem, ParametersRefused
from analytics_api.query_client.answer import MAX_BYTES, AnswerTooLong, BrokenAnswer
from analytics_api.statement_trial import FailureVerdict
from tenants.plans.allowance import Allowance
from tenants.rest.problem import Problem
from tenants.warehouse.errors import StatementFailed, WarehouseError

log = logging.getLogger(__name__)

#: Limits of a query: ClickHouse's error code -> (the limit's name, the setting with its value).
_LIMITS = {
    158: ("rows read", "MILLRACE_QUERY_READ_ROWS"),
    159: ("seconds", "MILLRACE_QUERY_SECONDS"),
    160: ("seconds", "MILLRACE_QUERY_SECONDS"),
    241: ("bytes of memory", "MILLRACE_QUERY_MEMORY_BYTES"),
    307: ("bytes of the result", "MILLRACE_QUERY_RESULT_BYTES"),
    396: ("rows or bytes of the result", "MILLRACE_QUERY_RESULT_ROWS"),
}
_ROWS, _BYTES = 158, 307
#: Stands in ClickHouse's message for TOO_MANY_BYTES if the limit is on the result.
_RESULT = "Limit for result exceeded"


def parameters(error: ParametersRefused) -> Problem:
    count = len(error.problems)
    detail = "One parameter is wrong." if count == 1 else f"{count} parameters are wrong."
    errors = [{"name": problem.name, "message": problem.message} for problem in error.problems]
    return Problem(400, "parameters", detail, errors=errors)


def failed(
    error: StatementFailed, query: str, granted: Allowance, judge: Callable[[], FailureVerdict]
) -> Problem:
    """The problem to report for a failed query. ``judge`` asks ClickHouse whose fault it is."""
    log.warning("%s: %s", query, error)
    return _known(error, granted) or _judged(error, judge())


def warehouse(error: WarehouseError, query: str, granted: Allowance) -> Problem:
    """The problem to report for ``error``, raised while ``query`` (``tenant.name``) ran."""
    log.warning("%s: %s", query, error)
    if isinstance(error, StatementFailed):
        return _known(error, granted) or _judged(error, FailureVerdict())
    if isinstance(error, BrokenAnswer):
        return Problem(
            502, "broken_answer", "ClickHouse failed while it sent the result. Try again."
        )
    if isinstance(error, AnswerTooLong):
        return _limit_of(422, "bytes of the result", MAX_BYTES)
    return _unavailable("ClickHouse does not answer. Try again in a moment.")


def _unavailable(detail: str, seconds: int = 2) -> Problem:
    return Problem(503, "unavailable", detail, headers={"Retry-After": str(seconds)})


def _known(error: StatementFailed, granted: Allowance) -> Problem | None:
    """The problem for a limit or a passing condition, such as a busy server; None for others."""
    if error.code in _LIMITS:
        return _limit(error, granted)
    if is_own_limit(error):
        detail = (
            f"The query exceeds one of ClickHouse's own limits: {_name(error)}. Request less data."
        )
        return Problem(422, "limit", detail, limit=_name(error))
    if error.code == 201:
        detail = "The tenant has used up its query quota. Try again in a minute."
        return Problem(429, "quota", detail, headers={"Retry-After": "60"})
    if error.code == 202:
        return _unavailable("Too many queries are running. Try again.", 1)
    if error.code in NOT_READY:
        return _unavailable("The tenant's warehouse is not ready yet. Try again in a moment.", 5)
    return None


def _limit(error: StatementFailed, granted: Allowance) -> Problem:
    name, setting = _LIMITS[error.code]
    value: int = getattr(settings, setting)
    if error.code == _ROWS:
        value = granted.query_rows or value
    elif error.code == _BYTES and granted.query_bytes and _RESULT not in error.message:
        name, value = "bytes read", granted.query_bytes
    return _limit_of(504 if error.code in (159, 160) else 422, name, value)


def _limit_of(status: int, name: str, value: int) -> Problem:
    detail = f"The query exceeds its limit of {value:,} {name}. Request less data at a time."
    return Problem(status, "limit", detail, limit=name, value=value)


def _name(error: StatementFailed) -> str:
    """ClickHouse's name for the error, such as TOO_MANY_ROWS."""
    return error.name or f"code {error.code}"


def _judged(error: StatementFailed, verdict: FailureVerdict) -> Problem:
    name = _name(error)
    if verdict.faults:
        return _values(verdict.faults, name)
    if verdict.is_outdated:
        detail = f"The query no longer fits its tables ({name}). It must be published again."
        return Problem(502, "query_outdated", detail, clickhouse=name)
    if error.code in ENGINE:
        return Problem(502, "query_failed", f"The query failed: {name}.", clickhouse=name)
    detail = f"The query can't be run on these parameters and data: {name}."
    return Problem(422, "query_failed", detail, clickhouse=name)


def _values(faults: Sequence[ParameterProblem], name: str) -> Problem:
    """The problem for values that ClickHouse does not accept, with its sentence for each."""
    detail = f"ClickHouse does not accept a value. {' '.join(fault.message for fault in faults)}"
    errors = [{"name": fault.name, "message": fault.message} for fault in faults if fault.name]
    return Problem(422, "parameters", detail, errors=errors, clickhouse=name)
