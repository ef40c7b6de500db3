from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db.models import Q
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from tenants import keys
from tenants.api.problem import Problem
from tenants.api.recent import Recent
from tenants.models import APIKey, TenantStatus

if TYPE_CHECKING:  # rest_framework.views reads the settings, which name this module
    from rest_framework.views import APIView

#: A revoked key is refused, and a suspended tenant noticed, after this many seconds at the latest.
MEMORY_SECONDS = 0.5
#: ``last_used_at`` is no older than this while a key is in use.
USED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True)
class Caller:
    """Who calls: a key and its tenant, and where the tenant's data is. It is ``request.user``."""

    key_id: int
    tenant_id: int
    tenant_slug: str
    is_active: bool
    scopes: frozenset[str]
    expires_at: datetime | None
    warehouse_id: int | None
    database: str
    username: str
    password: str

    is_authenticated = True

    def __repr__(self) -> str:
        return f"Caller(key {self.key_id} of {self.tenant_slug})"


_recent: Recent[bytes, Caller | None] = Recent(MEMORY_SECONDS)


def forget() -> None:
    """Look up every key anew, as after a change within this process."""
    _recent.forget()


def find(sha256: bytes) -> Caller | None:
    """The caller with that key, unless it is unknown, revoked or expired."""
    caller = _recent.get(sha256, lambda: _look_up(sha256))
    if caller is None or (caller.expires_at is not None and caller.expires_at <= timezone.now()):
        return None
    return caller


def _look_up(sha256: bytes) -> Caller | None:
    now = timezone.now()
    key = (
        APIKey.objects.filter(sha256=sha256, revoked_at=None)
        .select_related("tenant", "tenant__warehouse")
        .first()
    )
    if key is None or not key.is_usable(now):
        return None
    if key.last_used_at is None or key.last_used_at < now - USED_EVERY:
        old = Q(last_used_at=None) | Q(last_used_at__lt=now - USED_EVERY)
        APIKey.objects.filter(old, pk=key.pk).update(last_used_at=now)
    return _caller(key)


def _caller(key: APIKey) -> Caller:
    tenant = key.tenant
    warehouse = getattr(tenant, "warehouse", None)
    return Caller(
        key_id=key.pk,
        tenant_id=tenant.pk,
        tenant_slug=tenant.slug,
        is_active=tenant.status == TenantStatus.ACTIVE,
        scopes=frozenset(key.scopes),
        expires_at=key.expires_at,
        warehouse_id=warehouse.pk if warehouse else None,
        database=warehouse.database if warehouse else "",
        username=warehouse.username if warehouse else "",
        password=warehouse.password if warehouse else "",
    )


class APIKeyAuthentication(BaseAuthentication):
    """``Authorization: Bearer mr_…``; sets ``request.user`` to the Caller."""

    def authenticate(self, request: Request) -> tuple[Caller, Caller] | None:
        header = request.META.get("HTTP_AUTHORIZATION")
        if not header:
            return None
        scheme, _, text = header.partition(" ")
        if scheme.lower() != "bearer":
            msg = "Send an API key as: Authorization: Bearer mr_..."
            raise AuthenticationFailed(msg, "key_missing")
        parsed = keys.parse(text.strip())
        caller = find(parsed.sha256) if parsed is not None else None
        if caller is None:
            msg = "This API key is not valid. It may be mistyped, revoked or expired."
            raise AuthenticationFailed(msg, "key_invalid")
        return caller, caller

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="millrace"'


class HasScope(BasePermission):
    """The key has the view's ``scope``, and its tenant is not suspended."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        caller = request.user
        if not isinstance(caller, Caller):
            msg = "This address needs an API key, sent as: Authorization: Bearer mr_..."
            raise NotAuthenticated(msg, "key_missing")
        _check(caller, getattr(view, "scope", ""))
        return True


def _check(caller: Caller, scope: str) -> None:
    if not caller.is_active:
        raise Problem(403, "tenant_suspended", "This tenant is suspended. Ask the operator.")
    if scope and scope not in caller.scopes:
        detail = f"This key lacks the scope {scope}. Ask for a key that has it."
        raise Problem(403, "scope_missing", detail, scope=scope)
