"""Security headers of every answer (owasp.org/www-project-secure-headers).

They come in addition to the headers that Django sets. The Content-Security-Policy starts from
``'none'`` and allows what each kind of page needs:

- API and everything else: nothing, because these are not pages.
- Swagger's page: our own scripts, and styles that its components write into elements.
- Admin: the same, and ``'unsafe-eval'``, because Unfold's templates contain Alpine.js expressions,
  which Alpine compiles with ``new Function``. No page allows inline scripts, so an injected element
  or handler does nothing. An injected Alpine attribute would run; Django's autoescaping prevents
  that.

We measured django-csp 4.0 and don't use it. The policies and their paths would still be ours. It
builds the policy for each answer (38 µs instead of 1, of about 240 for an API call), with the
directives in any order, and with DEBUG it sends error pages without a policy. Django 6.0 has its
own setting for this, SECURE_CSP.
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
#: Pairs of path prefix and policy; the first matching prefix applies.
POLICIES = (
    ("/api/v1/", _NO_PAGE),
    ("/admin/", _policy(_ADMIN)),
    ("/api/docs", _policy(_DOCS)),
    ("", _NO_PAGE),
)


class SecurityHeaders:
    """Middleware that adds the headers; a header that a view has set is kept."""

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        headers = response.headers
        headers.setdefault("Content-Security-Policy", policy_of(request.path))
        headers.setdefault("Permissions-Policy", PERMISSIONS)
        headers.setdefault("X-Frame-Options", "DENY")  # API calls skip Django's middleware
        return response


def policy_of(path: str) -> str:
    """The Content-Security-Policy of answers at ``path``."""
    return next(policy for beginning, policy in POLICIES if path.startswith(beginning))
