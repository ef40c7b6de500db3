from __future__ import annotations

from typing import Any, cast

from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from tenants.api import description as _scheme  # noqa: F401 - registers itself
from tenants.api.authentication import APIKeyAuthentication, Caller, HasScope
from tenants.api.problem import not_found

_RENDERER = JSONRenderer()


class Endpoint(APIView):
    """An address for holders of an API key.

    ``scope`` is what the key must be allowed. Views answer with an HttpResponse of their own, so
    DRF neither parses the body nor negotiates a renderer.
    """

    authentication_classes = (APIKeyAuthentication,)
    permission_classes = (HasScope,)
    scope: str = ""

    def perform_content_negotiation(
        self, request: Request, force: bool = False
    ) -> tuple[BaseRenderer, str]:
        return _RENDERER, "application/json"

    @staticmethod
    def caller(request: Request) -> Caller:
        """Who calls; HasScope has seen to it that there is one."""
        return cast("Caller", request.user)


class Nowhere(APIView):
    """Answers for every address below /api/ at which there is nothing."""

    authentication_classes = ()
    permission_classes = ()
    schema = None

    def perform_content_negotiation(
        self, request: Request, force: bool = False
    ) -> tuple[BaseRenderer, str]:
        return _RENDERER, "application/json"

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise not_found()
