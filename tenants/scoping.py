"""Tenant scope: a query of tenants' rows that names no tenant raises an error.

    TenantForgotten (Exception)

``Model.objects`` needs a tenant in every query. The query can filter by the tenant or one of its
columns, use ``objects.for_tenant(…)``, start from a related object (``table.sources``), or run
within ``tenant_scope``, which adds the filter. Code that works on all tenants must say so: with
``Model.across_tenants``, or with ``across_tenants()`` around code that isn't ours.

Why not django-scopes (github.com/raphaelm/django-scopes): it knows only the scope around a query,
so even a query that filters by a tenant explicitly would need one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from django.db.models import Field, Lookup, Manager, Model, QuerySet
from django.db.models.expressions import Col
from django.db.models.lookups import Exact, In, IsNull
from django.db.models.sql import Query
from django.db.models.sql.where import AND, WhereNode

T = TypeVar("T", bound=Model)

_EVERYONE: Final = object()
#: The ids of the tenants in scope, ``_EVERYONE``, or None outside of any scope.
_scope: ContextVar[object] = ContextVar("tenant_scope", default=None)
_TENANT = "tenants.tenant"


class TenantForgotten(Exception):
    """A query of tenants' rows does not name a tenant."""


@contextmanager
def tenant_scope(tenants: Iterable[int]) -> Iterator[None]:
    """Within this context, ``objects`` returns only the rows of these tenants (their ids)."""
    token = _scope.set(frozenset(tenants))
    try:
        yield
    finally:
        _scope.reset(token)


@contextmanager
def across_tenants() -> Iterator[None]:
    """Within this context, ``objects`` returns the rows of all tenants."""
    token = _scope.set(_EVERYONE)
    try:
        yield
    finally:
        _scope.reset(token)


def refuse(query: Query) -> None:
    """Raise TenantForgotten unless the query names a tenant."""
    if not _names_tenant(query.where):
        label = query.model._meta.label if query.model else "?"
        msg = (
            f"A query of {label} names no tenant. Filter by a tenant, or use "
            f"{label.rpartition('.')[2]}.across_tenants to query all tenants."
        )
        raise TenantForgotten(msg)


def _names_tenant(node: Any) -> bool:
    """Whether the condition passes only rows of tenants that it names."""
    if isinstance(node, WhereNode):
        if node.negated or not node.children:
            return False
        named = (_names_tenant(child) for child in node.children)
        return any(named) if node.connector == AND else all(named)
    if not isinstance(node, Exact | In | IsNull) or isinstance(node.rhs, Col):
        return False
    if isinstance(node, IsNull) and not node.rhs:
        return False
    return _is_of_tenant(node)


def _is_of_tenant(lookup: Lookup[Any]) -> bool:
    field = getattr(lookup.lhs, "target", None)
    if not isinstance(field, Field):
        return False
    if field.model._meta.label_lower == _TENANT:
        return field.name in {"id", "slug"}
    remote: Any = field.remote_field.model if field.remote_field else None
    return remote is not None and remote._meta.label_lower == _TENANT


class _Query(Query):
    """A query that checks itself when it is compiled, even as a part of another query."""

    def get_compiler(self, *args: Any, **kwargs: Any) -> Any:
        refuse(self)
        return super().get_compiler(*args, **kwargs)

    def chain(self, klass: Any = None) -> Any:
        if klass is not None and not issubclass(klass, _Query):
            refuse(self)
        return super().chain(klass)


class ScopedQuerySet(QuerySet[T]):
    def delete(self) -> Any:
        self._look()
        return super().delete()

    def _raw_delete(self, using: str | None) -> Any:
        self._look()
        return super()._raw_delete(using)

    def _look(self) -> None:
        if isinstance(self.query, _Query):
            refuse(self.query)


class ScopedManager(Manager[T]):
    """A manager whose queries must name a tenant.

    ``path`` is the look-up from a row to its tenant. With ``required=False``, queries outside of
    any scope are allowed.
    """

    _queryset_class: type[QuerySet[T]] = ScopedQuerySet

    def __init__(self, path: str = "tenant", *, required: bool = True) -> None:
        super().__init__()
        self.path = path
        self.required = required

    def get_queryset(self) -> QuerySet[T]:
        scope = _scope.get()
        # A related manager starts from an object, which belongs to one tenant.
        if scope is _EVERYONE or getattr(self, "instance", None) is not None:
            return self._plain()
        if scope is not None:
            return self._plain().filter(**{f"{self.path}__in": scope})
        return self._plain(_Query(self.model) if self.required else None)

    def for_tenant(self, tenant: Model | int) -> QuerySet[T]:
        """The rows of one tenant, whatever the scope."""
        return self._plain().filter(**{self.path: tenant})

    def _plain(self, query: Query | None = None) -> QuerySet[T]:
        rows: QuerySet[T] = self._queryset_class(model=self.model, query=query, using=self._db)
        return rows
