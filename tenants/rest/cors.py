"""Cross-origin calls (https://fetch.spec.whatwg.org/#http-cors-protocol) of the API.

Whoever calls the API shows a key or a token, and no cookie counts; so a page of any origin may try.
Which origins a key is good for is its own affair, see ``tenants.rest.authentication``.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

_PREFLIGHT = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, If-None-Match",
    "Access-Control-Max-Age": "7200",
}
_EXPOSED = (
    "Content-Disposition, ETag, RateLimit, RateLimit-Policy, Retry-After, "
    "X-Millrace-Query-Id, X-Millrace-Query-Version"
)


class CORSMiddleware:
    """Answers preflights below ``/api/``, and lets pages read the answers there."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if "HTTP_ORIGIN" not in request.META or not request.path_info.startswith("/api/"):
            return self.get_response(request)
        asked = "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in request.META
        if asked and request.method == "OPTIONS":
            return HttpResponse(status=204, headers=_PREFLIGHT)
        response = self.get_response(request)
        response["Access-Control-Allow-Origin"] = "*"
        response["Access-Control-Expose-Headers"] = _EXPOSED
        return response
