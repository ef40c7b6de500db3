from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tenants.plans.admission import Admission, OverLimit, admit
from tenants.plans.allowance import Allowance, allowance
from tenants.plans.threads import Busy, HeldThread, threads
from tenants.rest import openapi as _scheme  # noqa: F401 - registers itself
from tenants.rest.authentication import APIKeyAuthentication, Caller, HasScope
from tenants.rest.body import check_arguments, check_length
from tenants.rest.limited import busy, refused
from tenants.rest.problem import not_found
from tenants.usage import call_tally

_RENDERER = JSONRenderer()


class Endpoint(APIView):
    """The base class of endpoints that need an API key.

    ``scope`` is the scope that the key must have. ``is_query`` marks calls that keep the tenant's
    ClickHouse busy until they end. Views return an HttpResponse of their own, so DRF neither parses
    the body nor negotiates a renderer.

    Before any work, a call must fit in the tenant's share of the threads and in the limits of its
    plan. It is counted when it ends; a view records in ``did`` what else it did (a query, events).
    """

    authentication_classes = (APIKeyAuthentication,)
    permission_classes = (HasScope,)
    scope: str = ""
    is_query = False
    #: The parameters that the query string may have; None: the view checks them itself.
    arguments: tuple[str, ...] | None = ()

    #: What the call did, in the order of ``call_tally.FIELDS`` from ``queries`` on.
    did: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)
    admission: Admission | None = None
    place: HeldThread | None = None
    #: The tenant's allowance at the time the call was admitted.
    allowance: Allowance

    def perform_content_negotiation(
        self, request: Request, force: bool = False
    ) -> tuple[BaseRenderer, str]:
        return _RENDERER, "application/json"

    def most_bytes(self) -> int | None:
        """The most bytes of a body; None for MILLRACE_MAX_BODY_BYTES."""
        return None

    def get_permissions(self) -> Any:
        return _parts(type(self)).permissions

    @property
    def default_response_headers(self) -> dict[str, str]:
        return _parts(type(self)).headers.copy()

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        """DRF's request, built from the parts that all calls of a view share.

        DRF's Request forwards attributes by ``__getattr__``, only after its own look-up failed.
        Copying the three most used is cheaper.
        """
        parts = _parts(type(self))
        drf_request = Request(
            request,
            parsers=parts.parsers,
            authenticators=parts.authenticators,
            negotiator=parts.negotiator,
            parser_context={"view": self, "args": args, "kwargs": kwargs},
        )
        copied: Any = drf_request
        copied.method, copied.path, copied.META = request.method, request.path, request.META
        return drf_request

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Run the call; give its thread and its slot back even if it fails outside DRF's handling.

        An error while an error is answered passes by ``finalize_response``.
        """
        try:
            return super().dispatch(request, *args, **kwargs)
        except BaseException:
            if self.admission is not None:
                self.admission.give_back()
            if self.place is not None:
                self.place.leave()
            raise

    def perform_authentication(self, request: Request) -> None:
        drf_request: Any = request
        drf_request._authenticate()  # noqa: SLF001 - ``user`` checks twice, then does the same

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Authenticate, check permissions and admit the call. Nothing needs negotiation."""
        check_length(request, self.most_bytes())
        self.perform_authentication(request)
        self.check_permissions(request)
        caller = self.caller(request)
        self.allowance = allowance(caller.tenant_id)
        try:
            self.place = threads().take(caller.tenant_id, self.allowance.weight)
            self.admission = admit(caller, self.allowance, query=self.is_query)
        except Busy as error:
            raise busy(error) from None
        except OverLimit as error:
            raise refused(error) from None
        if "\0" in request.path:  # Postgres refuses NUL in text, so nothing has such a name
            raise not_found()
        if self.arguments is not None:
            check_arguments(request, self.arguments)

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Add the headers about limits, free the call's slot, and count the call.

        Errors also get DRF's own headers (``Allow``): RFC 9110 requires it with a 405.
        """
        if isinstance(response, Response):
            answer = super().finalize_response(request, response, *args, **kwargs)
        else:
            answer = response
            if answer.status_code >= HTTPStatus.BAD_REQUEST:
                for name, value in self.headers.items():
                    answer.headers[name] = value
        if self.admission is not None:
            self.admission.give_back()
            for name, value in self.admission.headers.items():
                answer.headers[name] = value
        self._leave(answer)
        user = getattr(request, "_user", None)
        if isinstance(user, Caller):
            failed = answer.status_code >= HTTPStatus.BAD_REQUEST
            call_tally.count(user.tenant_id, user.key_id, (1, int(failed), *self.did))
        return answer

    def _leave(self, answer: Any) -> None:
        """Give back the call's thread; for a streaming response, once it has been sent."""
        if self.place is None:
            return
        if getattr(answer, "streaming", False):
            answer._resource_closers.append(self.place.leave)  # noqa: SLF001 - Django closes them
        else:
            self.place.leave()

    @staticmethod
    def caller(request: Request) -> Caller:
        """Who calls. HasScope has made sure that this is a Caller."""
        return cast("Caller", getattr(request, "_user"))  # noqa: B009 - ``user`` costs more


@dataclass(frozen=True)
class _Parts:
    """What DRF builds for each call although it is the same for all calls of a view."""

    authenticators: list[BaseAuthentication]
    permissions: list[Any]
    parsers: list[BaseParser]
    negotiator: Any
    headers: dict[str, str]


_parts_by_view: dict[type[APIView], _Parts] = {}


def _parts(view: type[APIView]) -> _Parts:
    parts = _parts_by_view.get(view)
    if parts is None:
        parts = _parts_by_view[view] = _Parts(
            [authentication() for authentication in view.authentication_classes],
            [permission() for permission in view.permission_classes],
            [parser() for parser in view.parser_classes],
            view.content_negotiation_class(),
            {"Allow": ", ".join(view().allowed_methods)},
        )
    return parts


class Nowhere(APIView):
    """Answers 404 for every address below /api/ that no endpoint has."""

    authentication_classes = ()
    permission_classes = ()
    schema = None

    def perform_content_negotiation(
        self, request: Request, force: bool = False
    ) -> tuple[BaseRenderer, str]:
        return _RENDERER, "application/json"

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise not_found()
