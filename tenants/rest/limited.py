"""429 responses, which say which limit was reached and when to try again."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from tenants.plans.admission import OverLimit
from tenants.plans.threads import Busy
from tenants.rest.problem import Problem

#: Retry-After, in seconds, for a caller whose other calls use its whole share of the threads.
BUSY_AGAIN = 1
#: How error messages describe each limit.
_WORDS = {
    "requests_a_minute": "{value:,} requests a minute",
    "key_requests_a_minute": "{value:,} requests a minute per key",
    "token_rate": "{value:,} requests a minute per token",
    "concurrent_queries": "{value:,} queries at the same time",
    "rows_read_a_day": "{value:,} rows read a day",
    "bytes_read_a_day": "{value:,} bytes read a day",
    "events_a_day": "{value:,} events a day",
    "bytes_a_day": "{value:,} bytes of events a day",
    "storage_bytes": "{value:,} bytes of storage",
}


def refused(error: OverLimit) -> Problem:
    """A 429 (RFC 6585) with Retry-After; the document names the limit."""
    allowed = _WORDS[error.limit].format(value=error.value)
    of = "token" if error.limit == "token_rate" else "plan"
    lifts_at = timezone.now() + timedelta(seconds=error.again)
    detail = error.reason or (
        f"The {of} allows {allowed}; this is used up. Try again in {error.again:,} s."
    )
    return Problem(
        429,
        "limit_reached",
        detail,
        headers={"Retry-After": str(error.again), **error.headers},
        limit=error.limit,
        value=error.value,
        lifts_at=lifts_at.isoformat(timespec="seconds"),
    )


def busy(error: Busy) -> Problem:
    """A 429 for a call beyond the tenant's share of a web process's threads."""
    calls = "call of yours uses" if error.held == 1 else "calls of yours use"
    detail = (
        f"{error.held} {calls} your whole share of this server. "
        f"Send fewer calls at the same time, or try again in {BUSY_AGAIN} s."
    )
    return Problem(429, "busy", detail, headers={"Retry-After": str(BUSY_AGAIN)})
