"""Headers of every answer (owasp.org/www-project-secure-headers), beside those that Django sets.

The policy is ``'none'`` and names what each kind of page needs beyond that:

- API and the rest: nothing, they are no pages.
- Swagger's page: scripts of our own, and styles that its components write into elements.
- Admin: the same, and ``'unsafe-eval'``: Unfold's templates carry Alpine.js expressions, which it
  compiles by ``new Function``. No inline script is allowed anywhere, so an injected element or
  handler still does nothing; what is injected as an Alpine attribute would. Django's autoescaping
  stands before that.
django-csp 4.0 was looked at: the policies and the paths that they are for would still be ours, it
writes a policy anew for each answer (38 µs against 1, of some 240 for a call of the API), with its
directives in any order, and with DEBUG it leaves pages of errors without. Django 6.0 has a policy
of its own (SECURE_CSP).
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

_NOTHING = {"default-src": "'none'", "base-uri": "'none'", "frame-ancestors": "'none'"}
_DOCS = _NOTHING | {
    "script-src": "'self'",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'none'",
}
_ADMIN = _DOCS | {"script-src": "'self' 'unsafe-eval'", "form-action": "'self'"}
_FEATURES = (
    *("accelerometer", "autoplay", "browsing-topics", "camera", "display-capture"),
    *("geolocation", "gyroscope", "hid", "magnetometer", "microphone", "midi", "payment"),
    *("publickey-credentials-get", "serial", "usb", "xr-spatial-tracking"),
)
PERMISSIONS = ", ".join(f"{feature}=()" for feature in _FEATURES)


def _policy(directives: dict[str, str]) -> str:
    return "; ".join(f"{name} {value}" for name, value in directives.items())


_NO_PAGE = _policy(_NOTHING | {"form-action": "'none'"})
#: By the beginning of a path, the first that fits.
POLICIES = (
    ("/api/v1/", _NO_PAGE),
    ("/admin/", _policy(_ADMIN)),
    ("/api/docs", _policy(_DOCS)),
    ("", _NO_PAGE),
)


class SecurityHeaders:
    """Middleware; a view that sets one of the headers itself is let be."""

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        headers = response.headers
        headers.setdefault("Content-Security-Policy", policy_of(request.path))
        headers.setdefault("Permissions-Policy", PERMISSIONS)
        headers.setdefault("X-Frame-Options", "DENY")  # the API goes past Django's middleware
        return response


def policy_of(path: str) -> str:
    """The Content-Security-Policy of what answers at ``path``."""
    return next(policy for beginning, policy in POLICIES if path.startswith(beginning))
