"""Middleware that only pages need, and the way past it for the API.

The API knows its callers by their keys: it has no session, nobody is logged in, nothing is carried
from page to page. A call should not pay for a page.
"""

from __future__ import annotations

from collections.abc import Callable

from django.core.signals import setting_changed
from django.dispatch import receiver
from django.http import HttpRequest
from django.http.response import HttpResponseBase

Handler = Callable[[HttpRequest], HttpResponseBase]

_API = "/api/v1/"
#: Hosts that Django has let through (ALLOWED_HOSTS), and how many are kept.
_hosts: set[tuple[str | None, str | None]] = set()
_MOST_HOSTS = 1_000
#: Django makes a chain from its inner end on, so an end is always made before its beginning.
_ends: list[Handler] = []


class PagesEnd:
    """Stands behind the last middleware that only pages need."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response
        _ends.append(get_response)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)


class PagesBegin:
    """Stands before the first middleware that only pages need; the API goes on behind the last."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response
        self.behind = _ends.pop()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info.startswith(_API):
            _check_host(request)
            return self.behind(request)
        return self.get_response(request)


def _check_host(request: HttpRequest) -> None:
    """What CommonMiddleware does for pages; raises DisallowedHost. A host is looked at once."""
    meta = request.META
    host = (meta.get("HTTP_HOST"), meta.get("HTTP_X_FORWARDED_HOST"))
    if host in _hosts:
        return
    request.get_host()
    if len(_hosts) >= _MOST_HOSTS:
        _hosts.clear()
    _hosts.add(host)


@receiver(setting_changed)
def _forget(**_: object) -> None:
    _hosts.clear()
