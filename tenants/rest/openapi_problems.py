"""Error responses that every endpoint shares, added to the OpenAPI description in one place."""

from __future__ import annotations

from typing import Any

from tenants.rest.problem import CONTENT_TYPE

_PROBLEM = {
    "type": "object",
    "description": "What was wrong and what to do about it (RFC 9457).",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "Stable, for programs."},
        "detail": {"type": "string", "description": "For people."},
    },
}
#: Errors of any endpoint that needs a key.
ANYWHERE = {
    "400": "The request is not valid.",
    "401": "The key is missing or not valid.",
    "403": "The tenant is suspended, or the key may not do this.",
    "413": "The body is larger than this server accepts.",
    "429": "A limit is reached; Retry-After says when it lifts.",
    "503": "A database, cache or broker does not answer; Retry-After says when to try again.",
}
#: Errors of endpoints that read a body, even if only to refuse one.
WITH_BODY = {
    "411": "The body was sent in chunks. Send it with Content-Length.",
    "415": "The endpoint does not accept the body's media type or encoding.",
}
_READ_NONE = ("get", "head", "options")
_NAMED = {"404": "No object has that name."}


def problems(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A drf-spectacular hook: adds the shared errors, and makes each a problem document."""
    result.setdefault("components", {}).setdefault("schemas", {})["Problem"] = _PROBLEM
    for path, operations in result["paths"].items():
        words = ANYWHERE | (_NAMED if "{" in path else {})
        for method, operation in operations.items():
            reads = {} if method in _READ_NONE else WITH_BODY
            _complete(operation["responses"], words | reads)
            _require_events(operation.get("requestBody", {}))
    return result


def _require_events(body: dict[str, Any]) -> None:
    """Mark the events body as required: drf-spectacular makes it optional."""
    if "application/x-ndjson" in body.get("content", {}):
        body["required"] = True


def _complete(responses: dict[str, Any], words: dict[str, str]) -> None:
    for status, description in words.items():
        responses.setdefault(status, {"description": description})
    for status, response in responses.items():
        if int(status) >= 400:
            schema = {"$ref": "#/components/schemas/Problem"}
            response["content"] = {CONTENT_TYPE: {"schema": schema}}
