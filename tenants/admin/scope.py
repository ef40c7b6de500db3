"""Which objects a user sees in the admin: operators see all, members those of their tenants."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from tenants import roles
from tenants.scoping import across_tenants, tenant_scope


def is_operator(user: Any) -> bool:
    return bool(user.is_active and user.is_superuser)


def visible(rows: QuerySet[Any], user: Any, tenant_path: str) -> QuerySet[Any]:
    """The rows that ``user`` may see.

    ``tenant_path`` is the look-up from a row to its tenant. It is empty if rows have no tenant;
    only operators see those.
    """
    if is_operator(user):
        return rows
    if not tenant_path:
        return rows.none()
    return rows.filter(**{f"{tenant_path}__in": roles.tenants_where(user, rows.model, "view")})


class AdminScope:
    """Middleware that runs all of the admin's queries in the tenant scope of the user.

    So a list, filter, choice or check that forgets the tenant shows nothing of other tenants.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not in_admin(request):
            return self.get_response(request)
        with scope_of(request.user):
            return self.get_response(request)


def in_admin(request: HttpRequest) -> bool:
    """Whether the request is for a page of the admin."""
    return request.path_info.startswith(_admin())


@lru_cache(maxsize=1)
def _admin() -> str:
    return reverse("admin:index")


def scope_of(user: Any) -> Any:
    return across_tenants() if is_operator(user) else tenant_scope(roles.roles_of(user))
