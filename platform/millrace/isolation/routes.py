"""Every endpoint of the API, from Django's own list, and how each is called."""

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
#: Addresses that are open to everybody, and say the same to all.
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
        """Why this check does not know how to call it, '' where it does."""
        if self.parameters not in {(), ("name",), ("prefix",), ("slug",)}:
            return f"nobody has said what {', '.join(self.parameters)} may be"
        return ""

    def values(self, one: Planted) -> tuple[str, ...]:
        """Names that the tenant alone has, and that may stand in the address."""
        if self.parameters == ("prefix",):
            return (one.keys[0].prefix,)
        if self.parameters == ("slug",):
            return (one.tenant.slug,)
        if self.pattern.startswith("api/v1/tables/"):
            return (one.own_table,)
        if self.pattern.startswith("api/v1/connections/"):
            return (one.own_connection,)
        return (one.own_query, one.own_source) if self.parameters else ()

    def shared(self, one: Planted) -> str:
        """A name that every tenant has something of its own by."""
        if self.parameters == ("prefix",):
            return one.keys[0].prefix
        if self.parameters == ("slug",):
            return one.tenant.slug
        return one.shared if self.parameters else ""

    def nobodys(self) -> str:
        """A name of the same length that stands for nothing."""
        return "0" * 10 if self.parameters == ("prefix",) else "isolation_00000000_x0"

    @property
    def changes_keys(self) -> bool:
        """Whether it would end a key that the check still needs."""
        return self.parameters == ("prefix",)


def routes() -> list[Route]:
    """All addresses below ``/api/`` that lead somewhere."""
    return list(_walk(get_resolver().url_patterns, ""))


def _walk(patterns: list[URLPattern | URLResolver], before: str) -> Iterator[Route]:
    for one in patterns:
        text = before + str(one.pattern)
        if isinstance(one, URLResolver):
            yield from _walk(one.url_patterns, text)
        elif text.startswith(PREFIX) and _view(one) is not Nowhere:
            yield Route(
                name=one.name or "",
                pattern=text,
                parameters=tuple(one.pattern.converters),
                methods=_methods(one),
            )


def _view(one: URLPattern) -> type | None:
    return getattr(one.callback, "view_class", getattr(one.callback, "cls", None))


def _methods(one: URLPattern) -> tuple[str, ...]:
    view = _view(one)
    if view is None or not issubclass(view, APIView):
        return SAFE
    names = ("get", "post", "put", "patch", "delete")
    return tuple(name.upper() for name in names if hasattr(view, name))
