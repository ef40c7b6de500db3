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
    """An address for holders of an API key.

    ``scope`` is what the key must be allowed; ``is_query`` says that the tenant's ClickHouse works
    for as long as the call lasts. Views answer with an HttpResponse of their own, so DRF neither
    parses the body nor negotiates a renderer.

    A call is let in by the tenant's share of the threads, and by the limits of its plan, before
    anything is done for it, and counted when it is over: what it did besides (a query, events) the
    view notes in ``did``.
    """

    authentication_classes = (APIKeyAuthentication,)
    permission_classes = (HasScope,)
    scope: str = ""
    is_query = False
    #: Names that the query string may have; None: the view looks itself.
    arguments: tuple[str, ...] | None = ()

    #: What the call did, in the order of ``tally.FIELDS`` from ``queries`` on.
    did: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)
    admission: Admission | None = None
    place: HeldThread | None = None
    #: The tenant's, when the call was let in.
    allowance: Allowance

    def perform_content_negotiation(
        self, request: Request, force: bool = False
    ) -> tuple[BaseRenderer, str]:
        return _RENDERER, "application/json"

    def get_permissions(self) -> Any:
        return _made(type(self)).permissions

    @property
    def default_response_headers(self) -> dict[str, str]:
        return _made(type(self)).headers.copy()

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        """DRF's, with what is the same for all calls of a view.

        A DRF request hands on what it lacks by failing first: that costs more than a copy.
        """
        kept = _made(type(self))
        made = Request(
            request,
            parsers=kept.parsers,
            authenticators=kept.authenticators,
            negotiator=kept.negotiator,
            parser_context={"view": self, "args": args, "kwargs": kwargs},
        )
        copied: Any = made
        copied.method, copied.path, copied.META = request.method, request.path, request.META
        return made

    def perform_authentication(self, request: Request) -> None:
        asked: Any = request
        asked._authenticate()  # noqa: SLF001 - ``user`` asks twice before it does the same

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Who calls, may they, and is there room for the call. There is nothing to negotiate."""
        check_length(request)
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
        if "\0" in request.path:  # Postgres has no such text
            raise not_found()
        if self.arguments is not None:
            check_arguments(request, self.arguments)

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Headers of the limits; the slot is free again, and the call is counted.

        DRF's own (``Allow``) go with refusals: RFC 9110 asks for it with a 405.
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
        """Give back the call's place; of a result that is sent piece by piece, once it is sent."""
        if self.place is None:
            return
        if getattr(answer, "streaming", False):
            answer._resource_closers.append(self.place.leave)  # noqa: SLF001 - Django closes them
        else:
            self.place.leave()

    @staticmethod
    def caller(request: Request) -> Caller:
        """Who calls; HasScope has seen to it that there is one."""
        return cast("Caller", getattr(request, "_user"))  # noqa: B009 - ``user`` costs more


@dataclass(frozen=True)
class _Made:
    """What DRF makes anew for each call, and is the same for all calls of a view."""

    authenticators: list[BaseAuthentication]
    permissions: list[Any]
    parsers: list[BaseParser]
    negotiator: Any
    headers: dict[str, str]


_kept: dict[type[APIView], _Made] = {}


def _made(view: type[APIView]) -> _Made:
    made = _kept.get(view)
    if made is None:
        made = _kept[view] = _Made(
            [one() for one in view.authentication_classes],
            [one() for one in view.permission_classes],
            [one() for one in view.parser_classes],
            view.content_negotiation_class(),
            {"Allow": ", ".join(view().allowed_methods)},
        )
    return made


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
