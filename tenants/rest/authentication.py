"""Authentication by ``Authorization: Bearer …``: an API key, or a token signed with one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from tenants import key_format
from tenants.client_address import client_address
from tenants.rest.problem import Problem
from tenants.selectors.callers import MEMORY_SECONDS, Caller, find, forget, is_remembered
from tenants.tokens import verify

if TYPE_CHECKING:  # rest_framework.views reads the settings, which name this module
    from rest_framework.views import APIView

__all__ = ["MEMORY_SECONDS", "APIKeyAuthentication", "Caller", "HasScope", "find", "forget"]


class APIKeyAuthentication(BaseAuthentication):
    """Accepts ``Bearer mr_…`` or ``Bearer <signed token>``; sets ``request.user`` to a Caller.

    Raises AuthenticationFailed (401) for an unknown key or token, and Problem (403) when the key
    may not be used from the request's network or origin.
    """

    def authenticate(self, request: Request) -> tuple[Caller, Caller] | None:
        header = request.META.get("HTTP_AUTHORIZATION")
        if not header:
            return None
        scheme, _, text = header.partition(" ")
        if scheme.lower() != "bearer":
            msg = "Send an API key as: Authorization: Bearer mr_..."
            raise AuthenticationFailed(msg, "key_missing")
        caller = _caller(text.strip())
        if caller.networks is not None or caller.origins is not None:
            _check_place(caller, request.META)
        return caller, caller

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="millrace"'


def _caller(text: str) -> Caller:
    if text.count(".") == 2:
        try:
            return verify.find(text)
        except verify.TokenRefused as error:
            raise AuthenticationFailed(error.message, error.code) from None
    sha256 = key_format.digest(text)
    is_key = is_remembered(sha256) or key_format.parse(text) is not None
    caller = find(sha256) if is_key else None
    if caller is None:
        msg = "This API key is not valid. It may be mistyped, revoked or expired."
        raise AuthenticationFailed(msg, "key_invalid")
    return caller


def _check_place(caller: Caller, meta: dict[str, str]) -> None:
    if caller.networks is not None:
        address = client_address(meta)
        if address is None or not any(address in network for network in caller.networks):
            detail = "This key can't be used from your network. Ask the person who issued it."
            raise Problem(403, "network_not_allowed", detail)
    if caller.origins is not None and meta.get("HTTP_ORIGIN", "").lower() not in caller.origins:
        detail = "This key only works on web pages of certain origins (the Origin header)."
        raise Problem(403, "origin_not_allowed", detail)


class HasScope(BasePermission):
    """Allows a call if its key has the view's ``scope`` and its tenant is active."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        caller = request.user
        if not isinstance(caller, Caller):
            msg = "This endpoint needs an API key. Send: Authorization: Bearer mr_..."
            raise NotAuthenticated(msg, "key_missing")
        _check(caller, getattr(view, "scope", ""))
        return True


def _check(caller: Caller, scope: str) -> None:
    if not caller.is_active:
        raise Problem(403, "tenant_suspended", "This tenant is suspended. Contact the operator.")
    if scope and scope not in caller.scopes:
        detail = f"This key does not have the scope {scope}. Use a key that has it."
        raise Problem(403, "scope_missing", detail, scope=scope)
