"""Lets API calls skip the middleware that only pages need.

The API identifies callers by their keys: it has no session, no login and no messages from page to
page. ``PagesBegin`` and ``PagesEnd`` enclose that middleware in ``settings.MIDDLEWARE``.
"""

from __future__ import annotations

from collections.abc import Callable

from django.core.signals import setting_changed
from django.dispatch import receiver
from django.http import HttpRequest
from django.http.response import HttpResponseBase

Handler = Callable[[HttpRequest], HttpResponseBase]

_API = "/api/v1/"
#: Hosts that Django has accepted (ALLOWED_HOSTS), and how many of them are remembered.
_hosts: set[tuple[str | None, str | None]] = set()
_MOST_HOSTS = 1_000
#: Django builds the chain from the inside out, so each PagesEnd is built before its PagesBegin.
_ends: list[Handler] = []


class PagesEnd:
    """Comes after the last middleware that only pages need."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response
        _ends.append(get_response)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)


class PagesBegin:
    """Comes before the first middleware that only pages need; API calls go on after the last."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response
        self.behind = _ends.pop()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info.startswith(_API):
            _check_host(request)
            return self.behind(request)
        return self.get_response(request)


def _check_host(request: HttpRequest) -> None:
    """Check the host as CommonMiddleware does for pages, once per host; raises DisallowedHost."""
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
