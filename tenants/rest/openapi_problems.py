"""What holds for every address of the API, written into the OpenAPI description in one place."""

from __future__ import annotations

from typing import Any

from tenants.rest.problem import CONTENT_TYPE

_PROBLEM = {
    "type": "object",
    "description": "What was wrong, and what would be right (RFC 9457).",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "Stable, for programs."},
        "detail": {"type": "string", "description": "For people."},
    },
}
#: Answers that any address which asks for a key can give.
ANYWHERE = {
    "400": "The request is not as it should be.",
    "401": "The key is missing or not valid.",
    "403": "The tenant is suspended, or the key may not do this.",
    "413": "The body is larger than this server takes.",
    "429": "A limit is reached; Retry-After says when it lifts.",
    "503": "A store does not answer; Retry-After says when to try again.",
}
#: Answers of those that read a body, if only to refuse one.
WITH_BODY = {
    "411": "The body came in chunks. Send it with Content-Length.",
    "415": "The body is not of a media type or an encoding that the address takes.",
}
_READ_NONE = ("get", "head", "options")
_NAMED = {"404": "There is nothing of that name."}


def problems(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A hook of drf-spectacular: every error is a problem document, and may come anywhere."""
    result.setdefault("components", {}).setdefault("schemas", {})["Problem"] = _PROBLEM
    for path, operations in result["paths"].items():
        words = ANYWHERE | (_NAMED if "{" in path else {})
        for method, operation in operations.items():
            reads = {} if method in _READ_NONE else WITH_BODY
            _complete(operation["responses"], words | reads)
            _require_events(operation.get("requestBody", {}))
    return result


def _require_events(body: dict[str, Any]) -> None:
    """drf-spectacular takes a body without a serializer for one that may be left out."""
    if "application/x-ndjson" in body.get("content", {}):
        body["required"] = True


def _complete(responses: dict[str, Any], words: dict[str, str]) -> None:
    for status, description in words.items():
        responses.setdefault(status, {"description": description})
    for status, response in responses.items():
        if int(status) >= 400:
            schema = {"$ref": "#/components/schemas/Problem"}
            response["content"] = {CONTENT_TYPE: {"schema": schema}}
