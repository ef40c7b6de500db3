"""All codes of the API's problem documents: one list, each with its statuses and its meaning.

A code is a promise to callers, so it has an entry here, and the page docs/reference/errors.md is
written from this list (``make reference``).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """``meaning`` says what was wrong and what the caller does about it."""

    code: str
    statuses: tuple[int, ...]
    meaning: str


CODES = (
    # Who calls
    Code("key_missing", (401,), "The call has no key. Send `Authorization: Bearer mr_…`."),
    Code("key_invalid", (401,), "The key is mistyped, revoked or expired. Get another one."),
    Code("token_invalid", (401,), "The signed token is not valid: its form, key or signature."),
    Code("token_claims", (401,), "A claim of the signed token is missing, unknown or wrong."),
    Code("token_early", (401,), "The signed token is not valid yet. Check your clock."),
    Code("token_expired", (401,), "The signed token has expired. Sign a new one."),
    Code("network_not_allowed", (403,), "The key may not be used from your address."),
    Code("origin_not_allowed", (403,), "The key is for web pages of other origins."),
    Code("tenant_suspended", (403,), "The operator has suspended this tenant."),
    Code("scope_missing", (403,), "The key lacks the `scope`. Use a key that has it."),
    Code("queries_only", (403,), "The key is for named queries, not for SQL of your own."),
    Code("permission_denied", (403,), "The key may not do this."),
    # The request
    Code("not_found", (404,), "There is nothing at this address, or the key may not know of it."),
    Code("method_not_allowed", (405,), "The address does not take this method."),
    Code("bad_request", (400,), "The request can't be read as HTTP."),
    Code("body_unreadable", (400,), "The body is not what it claims to be: JSON, gzip or zstd."),
    Code("length_required", (411,), "The body came in chunks. Send it with Content-Length."),
    Code("body_too_large", (413,), "The body exceeds `limit` bytes. Send less at a time."),
    Code("encoding_unknown", (415,), "The address does not take this Content-Encoding."),
    Code("unsupported_media_type", (415,), "Send the body with Content-Type application/json."),
    Code("unknown_member", (400,), "The body has a member that is not known."),
    Code("unknown_parameter", (400,), "The address has a parameter that is not known."),
    Code("doubled_member", (400,), "The body has a member twice. Send it once."),
    Code("doubled_parameter", (400,), "The address has a parameter twice. Send it once."),
    Code("parameter_invalid", (400,), "A parameter or member has a wrong value; see `detail`."),
    Code("not_acceptable", (406,), "None of the accepted formats exists; `formats` lists all."),
    Code("format", (400, 404), "The format is unknown, or the address names two of them."),
    Code("format_unfit", (406,), "The format can't hold the `column`; use one of `formats`."),
    # Queries
    Code(
        "parameters",
        (400, 422),
        "Parameters of the query are wrong; `errors` has each. With 422, ClickHouse refused them.",
    ),
    Code("parameter_fixed", (403,), "The key sets this parameter itself. Leave it out."),
    Code("parameter_not_held", (403,), "The query lacks a parameter that the key sets."),
    Code("row_filter", (403,), "A row filter of the key does not fit the query or the address."),
    Code(
        "query_refused",
        (422,),
        "The guard or ClickHouse refuses the SQL; `reason` is a word, `position` the place.",
    ),
    Code(
        "query_failed",
        (422, 502),
        "ClickHouse could not run the query on these parameters and data (422), or failed itself "
        "(502); `clickhouse` names its error.",
    ),
    Code("query_outdated", (502,), "The query no longer fits its tables. Publish it again."),
    Code("broken_answer", (502,), "The engine failed while it answered. Try again."),
    # Limits
    Code("limit", (422, 504), "The query exceeded `limit` (`value`). Ask for less."),
    Code("limit_reached", (429,), "The plan's or token's `limit` is used up until `lifts_at`."),
    Code("quota", (429,), "ClickHouse's quota of queries is used up. Wait as Retry-After says."),
    Code(
        "busy",
        (429, 503),
        "Your share of this server is in use (429), or workers or ClickHouse have not let go yet "
        "(503). Wait as Retry-After says.",
    ),
    Code("spool_full", (429,), "Too many of your events wait for their tables. Send them later."),
    # Events
    Code("no_events", (400,), "The body has no event."),
    Code("events_invalid", (400,), "Some events are not JSON objects; `errors` has their lines."),
    Code("idempotency_key_invalid", (400,), "The Idempotency-Key is empty, too long or not ASCII."),
    Code("idempotency_key_reused", (422,), "The Idempotency-Key was used for other events."),
    Code("source_has_broker", (409,), "The source reads a broker and takes no events over HTTP."),
    Code("source_archived", (409,), "The source is archived. Restore it first."),
    Code("cannot_reset", (409,), "The source can't be reset like this, or not now."),
    Code("cannot_drop", (409,), "The column can't be dropped, or not now; see `detail`."),
    Code("stopped_half_way", (503,), "Some of it may be deleted. Delete it again."),
    # Keys, usage and tenants
    Code("key_state", (409,), "The key can't be rotated: it is revoked, expired or replaced."),
    Code("rights_exceeded", (403,), "The new key would have more rights than the calling key."),
    Code("rights_refused", (422,), "The restrictions of the new key are not valid."),
    Code("span_invalid", (422,), "The days from `from` to `to` are not a valid span."),
    Code("not_confirmed", (409,), "Deleting needs `confirm` with the name, or the tenant's slug."),
    Code("refused", (409,), "It can't be done to this tenant in its state; see `detail`."),
    # Here
    Code("unavailable", (503,), "A store does not answer. Wait as Retry-After says."),
    Code("internal_error", (500,), "A bug. The log has the cause; the answer does not."),
)
