from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework.permissions import BasePermission
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from tenants.rest.body import check_arguments, check_length
from tenants.selectors.operator_keys import find_operator_key

_RENDERER = JSONRenderer()


@dataclass(frozen=True, slots=True)
class Operator:
    """The calling operator: ``request.user`` in the operators' endpoints, and only there."""

    operator_key: int
    operator_name: str

    is_authenticated = True


class OperatorAuthentication(BaseAuthentication):
    """Accepts ``Authorization: Bearer op_mr_…``; sets ``request.user`` to an Operator."""

    def authenticate(self, request: Request) -> tuple[Operator, Operator] | None:
        header = request.META.get("HTTP_AUTHORIZATION")
        if not header:
            return None
        scheme, _, text = header.partition(" ")
        key = find_operator_key(text.strip()) if scheme.lower() == "bearer" else None
        if key is None:
            msg = "This is not a valid operator's key. Tenants' keys don't work here."
            raise AuthenticationFailed(msg, "key_invalid")
        operator = Operator(key.pk, key.name)
        return operator, operator

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="millrace-operator"'


class IsOperator(BasePermission):
    def has_permission(self, request: Request, view: APIView) -> bool:
        if not isinstance(request.user, Operator):
            msg = "This endpoint needs an operator's key. Send: Authorization: Bearer op_mr_..."
            raise NotAuthenticated(msg, "key_missing")
        return True


class OperatorEndpoint(APIView):
    """The base class of the operators' endpoints."""

    authentication_classes = (OperatorAuthentication,)
    permission_classes = (IsOperator,)
    #: The parameters that the query string may have.
    arguments: tuple[str, ...] = ()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        check_length(request)
        super().initial(request, *args, **kwargs)
        check_arguments(request, self.arguments)

    def perform_content_negotiation(
        self, request: Request, force: bool = False
    ) -> tuple[BaseRenderer, str]:
        return _RENDERER, "application/json"


class OperatorKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the OpenAPI description presents operators' keys. Importing the class registers it."""

    target_class = OperatorAuthentication
    name = "Operator's key"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "An operator's key, `op_mr_...`, as `manage.py operator_key` prints it.",
        }
