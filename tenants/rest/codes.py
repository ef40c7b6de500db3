"""The error codes of the API's problem documents, each with its HTTP statuses and its meaning.

A code is a promise to callers, so every code needs an entry here. ``make reference`` writes the
page docs/reference/errors.md from this list.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """One error code. ``meaning`` says what was wrong and what the caller can do about it."""

    code: str
    statuses: tuple[int, ...]
    meaning: str


CODES = (
    # Authentication and permissions
    Code("key_missing", (401,), "The request has no key. Send `Authorization: Bearer mr_…`."),
    Code("key_invalid", (401,), "The key is mistyped, revoked or expired. Use another one."),
    Code("token_invalid", (401,), "The signed token's form, key or signature is not valid."),
    Code("token_claims", (401,), "A claim of the signed token is missing, unknown or wrong."),
    Code("token_early", (401,), "The signed token is not valid yet. Check your clock."),
    Code("token_expired", (401,), "The signed token has expired. Sign a new one."),
    Code("network_not_allowed", (403,), "The key can't be used from your network address."),
    Code("origin_not_allowed", (403,), "The key only works on web pages of other origins."),
    Code("tenant_suspended", (403,), "The operator has suspended this tenant."),
    Code("scope_missing", (403,), "The key does not have the `scope`. Use a key that has it."),
    Code("queries_only", (403,), "The key can run saved queries only, not SQL of your own."),
    Code("permission_denied", (403,), "The key does not have permission to do this."),
    # The request
    Code("not_found", (404,), "Nothing exists at this address, or the key may not see it."),
    Code("method_not_allowed", (405,), "This address does not support the HTTP method."),
    Code("bad_request", (400,), "The request is not valid HTTP."),
    Code(
        "body_unreadable", (400,), "The body is not valid JSON, gzip or zstd, as its headers claim."
    ),
    Code("length_required", (411,), "The body was sent in chunks. Send it with Content-Length."),
    Code("body_too_large", (413,), "The body exceeds `limit` bytes. Send less at a time."),
    Code("encoding_unknown", (415,), "The endpoint does not accept this Content-Encoding."),
    Code("unsupported_media_type", (415,), "Send the body as Content-Type application/json."),
    Code("unknown_member", (400,), "The body has an unknown member; `detail` names it."),
    Code("unknown_parameter", (400,), "The query string has an unknown parameter."),
    Code("doubled_member", (400,), "The body has a member twice. Send it once."),
    Code("doubled_parameter", (400,), "The query string has a parameter twice."),
    Code("parameter_invalid", (400,), "A parameter or member is not valid; see `detail`."),
    Code("not_acceptable", (406,), "No format in Accept is supported; `formats` lists them."),
    Code("format", (400, 404), "The format is unknown, or the request names two."),
    Code("format_unfit", (406,), "The format can't represent the `column`; use one of `formats`."),
    # Queries
    Code(
        "parameters",
        (400, 422),
        "Query parameters are not valid; `errors` lists each. With 422, ClickHouse refused them.",
    ),
    Code("parameter_fixed", (403,), "The key fixes this parameter. Leave it out."),
    Code("parameter_not_held", (403,), "The query lacks a parameter that the key fixes."),
    Code("row_filter", (403,), "A row filter of the key does not fit the query or the endpoint."),
    Code(
        "query_refused",
        (422,),
        "The SQL guard or ClickHouse refused the SQL; `reason` says why, `position` says where.",
    ),
    Code(
        "query_failed",
        (422, 502),
        "ClickHouse could not run the query with these parameters and data (422), or failed itself "
        "(502); `clickhouse` names its error.",
    ),
    Code("query_outdated", (502,), "The query no longer matches its tables. Publish it again."),
    Code("broken_answer", (502,), "ClickHouse failed while sending the result. Try again."),
    # Limits
    Code("limit", (422, 504), "The query exceeded `limit` (`value`). Ask for less."),
    Code("limit_reached", (429,), "The plan's or token's `limit` is used up until `lifts_at`."),
    Code("quota", (429,), "The ClickHouse query quota is used up. Wait for Retry-After."),
    Code(
        "busy",
        (429, 503),
        "Your share of this server is in use (429), or workers or ClickHouse are still working on "
        "the tenant (503). Wait for Retry-After.",
    ),
    Code("spool_full", (429,), "Too many of your events wait to be inserted. Send them later."),
    # Events
    Code("no_events", (400,), "The body has no events."),
    Code("events_invalid", (400,), "Some events are not JSON objects; `errors` lists their lines."),
    Code("idempotency_key_invalid", (400,), "The Idempotency-Key is empty, too long or not ASCII."),
    Code(
        "idempotency_key_reused", (422,), "The Idempotency-Key was already used for other events."
    ),
    Code(
        "source_has_broker",
        (409,),
        "The source reads from a broker; it accepts no events over HTTP.",
    ),
    Code("source_archived", (409,), "The source is archived. Restore it first."),
    Code("stream_unreadable", (409,), "The stream can't be sampled, or has no message now."),
    Code(
        "nothing_to_infer",
        (422,),
        "The sample is missing, or has no field that a column could read.",
    ),
    Code("cannot_reset", (409,), "The source can't be reset this way, or not now."),
    Code("cannot_drop", (409,), "The column can't be dropped, or not now; see `detail`."),
    Code(
        "stopped_half_way",
        (503,),
        "The deletion stopped half-way: part of the data may be gone. Delete it again.",
    ),
    # Keys, usage and tenants
    Code("key_state", (409,), "The key can't be rotated: it is revoked, expired or replaced."),
    Code("rights_exceeded", (403,), "The new key would have more rights than the calling key."),
    Code("rights_refused", (422,), "The restrictions of the new key are not valid."),
    Code("span_invalid", (422,), "The dates `from` and `to` are not a valid range."),
    Code(
        "not_confirmed", (409,), "Deleting needs `confirm`: the object's name or the tenant's slug."
    ),
    Code(
        "repair_refused",
        (422,),
        "The expression that repairs a message is not allowed, or failed on one; see `detail`.",
    ),
    Code(
        "file_refused",
        (422,),
        "The file of history can't be loaded: its name, its location or an option of it; see "
        "`detail`.",
    ),
    Code(
        "refused",
        (409,),
        "The request can't be carried out for this tenant: a value is not valid, or the tenant's "
        "state does not allow it; see `detail`.",
    ),
    # The server
    Code(
        "unavailable", (503,), "A database, cache or broker does not answer. Wait for Retry-After."
    ),
    Code("internal_error", (500,), "A bug in Millrace. The server's log has the cause."),
)
