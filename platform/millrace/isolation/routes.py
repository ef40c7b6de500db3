"""Every endpoint of the API, from Django's own URL patterns, and how to call each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.views import APIView

from millrace.isolation.planted import Planted
from tenants.rest.endpoint import Nowhere

PREFIX = "api/"
#: Methods that change nothing.
SAFE = ("GET", "HEAD", "OPTIONS")
#: Addresses that need no key and answer everyone alike.
PUBLIC = frozenset({"api-docs", "openapi"})


@dataclass(frozen=True)
class Route:
    """One address with its methods; ``parameters`` are the names in its pattern."""

    name: str
    pattern: str
    parameters: tuple[str, ...]
    methods: tuple[str, ...]

    def path(self, value: str = "") -> str:
        """The address, with ``value`` for its one parameter."""
        if not self.parameters:
            return f"/{self.pattern}"
        before, _, rest = self.pattern.partition("<")
        return f"/{before}{value}{rest.partition('>')[2]}"

    def unknown(self) -> str:
        """Why the check does not know how to call this route; '' if it does."""
        if self.parameters not in {(), ("name",), ("prefix",), ("slug",)}:
            return f"the check has no values for {', '.join(self.parameters)}"
        return ""

    def values(self, planted: Planted) -> tuple[str, ...]:
        """Names that only this tenant has and that fit the parameter of the address."""
        if self.parameters == ("prefix",):
            return (planted.keys[0].prefix,)
        if self.parameters == ("slug",):
            return (planted.tenant.slug,)
        if self.pattern.startswith("api/v1/tables/"):
            return (planted.own_table,)
        if self.pattern.startswith("api/v1/connections/"):
            return (planted.own_connection,)
        return (planted.own_query, planted.own_source) if self.parameters else ()

    def shared(self, planted: Planted) -> str:
        """A name that every tenant uses for an object of its own."""
        if self.parameters == ("prefix",):
            return planted.keys[0].prefix
        if self.parameters == ("slug",):
            return planted.tenant.slug
        return planted.shared if self.parameters else ""

    def nobodys(self) -> str:
        """A name of the same length that no object has."""
        return "0" * 10 if self.parameters == ("prefix",) else "isolation_00000000_x0"

    @property
    def changes_keys(self) -> bool:
        """Whether a call could revoke a key that the check still needs."""
        return self.parameters == ("prefix",)


def routes() -> list[Route]:
    """All addresses below ``/api/`` that have a view."""
    return list(_walk(get_resolver().url_patterns, ""))


def _walk(patterns: list[URLPattern | URLResolver], before: str) -> Iterator[Route]:
    for entry in patterns:
        address = before + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from _walk(entry.url_patterns, address)
        elif address.startswith(PREFIX) and _view(entry) is not Nowhere:
            yield Route(
                name=entry.name or "",
                pattern=address,
                parameters=tuple(entry.pattern.converters),
                methods=_methods(entry),
            )


def _view(pattern: URLPattern) -> type | None:
    return getattr(pattern.callback, "view_class", getattr(pattern.callback, "cls", None))


def _methods(pattern: URLPattern) -> tuple[str, ...]:
    view = _view(pattern)
    if view is None or not issubclass(view, APIView):
        return SAFE
    names = ("get", "post", "put", "patch", "delete")
    return tuple(name.upper() for name in names if hasattr(view, name))
