"""Limits the share of a web process's threads that one person's admin pages may hold.

Pages wait, just as API calls do: for a broker that is tested, or for ClickHouse.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from tenants.admin.scope import in_admin
from tenants.plans.threads import Busy, threads
from tenants.rest.limited import BUSY_AGAIN


class AdminShare:
    """Middleware that answers 429 if the person's other pages hold their whole share."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not (in_admin(request) and request.user.is_authenticated):
            return self.get_response(request)
        try:
            place = threads().take(("person", request.user.pk))
        except Busy as error:
            return _busy(error.held)
        try:
            return self.get_response(request)
        finally:
            place.leave()


def _busy(held: int) -> HttpResponse:
    pages = "1 of your pages is" if held == 1 else f"{held} of your pages are"
    text = f"{pages} still loading. Reload this page in a moment."
    headers = {"Retry-After": str(BUSY_AGAIN)}
    return HttpResponse(text, "text/plain; charset=utf-8", status=429, headers=headers)
