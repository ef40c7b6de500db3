from __future__ import annotations

import time
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

_BEGAN = "began_at"


class AbsoluteAge:
    """Middleware that ends a session SESSION_ABSOLUTE_SECONDS after its first request, used or not.

    ``SESSION_COOKIE_AGE`` limits only how long a session may be idle.
    """

    sync_capable = True
    async_capable = False

    def __init__(
        self,
        get_response: Callable[[HttpRequest], HttpResponseBase],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.get_response = get_response
        self.clock = clock

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if settings.SESSION_COOKIE_NAME in request.COOKIES:
            self._check(request)
        return self.get_response(request)

    def _check(self, request: HttpRequest) -> None:
        session = getattr(request, "session", None)
        if session is None or session.is_empty():  # API calls have no session
            return
        began = session.setdefault(_BEGAN, int(self.clock()))
        if self.clock() - began > settings.SESSION_ABSOLUTE_SECONDS:
            session.flush()
