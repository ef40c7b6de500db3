"""The rights of a key: its scopes and its restrictions. None means no restriction."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from tenants import filters
from tenants.exact_json import storable
from tenants.models import DEFAULT_SCOPES, APIKey, Scope, Tenant
from tenants.warehouse.errors import WarehouseError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,62}\Z")
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}\Z")
#: An escaped NUL in JSON: ``\u0000`` after an even number of backslashes.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
#: The longest fixed parameters, in characters of JSON.
MAX_PARAMETERS = 10_000


class RightsRefused(ValueError):
    """Rights that can't be granted. ``field`` names the invalid one."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.field = name
        self.message = message


class RightsExceeded(RightsRefused):
    """Rights beyond those of the key that grants them."""


@dataclass(frozen=True)
class Rights:
    """Scopes, their expiry, and the queries, sources, networks and origins they are limited to."""

    scopes: tuple[str, ...] = tuple(str(scope) for scope in DEFAULT_SCOPES)
    expires_at: datetime | None = None
    queries: tuple[str, ...] | None = None
    sources: tuple[str, ...] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    row_filters: Mapping[str, str] = field(default_factory=dict)
    networks: tuple[str, ...] | None = None
    origins: tuple[str, ...] | None = None

    def columns(self) -> dict[str, Any]:
        """The values of the matching ``APIKey`` columns."""
        values = {right.name: getattr(self, right.name) for right in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
        }


def of(key: APIKey) -> Rights:
    """The rights of a key."""
    return of_columns({right.name: getattr(key, right.name) for right in fields(Rights)})


def of_columns(given: Mapping[str, Any]) -> Rights:
    """Rights from their JSON or column values, by name; not checked yet."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in given.items()
    }
    return Rights(**values)


def checked(rights: Rights, tenant: Tenant) -> Rights:
    """The rights in normal form, with empty restrictions as None; raises RightsRefused."""
    unknown = set(rights.scopes) - set(Scope.values)
    if unknown:
        listed = ", ".join(sorted(unknown))
        msg = f"Unknown scope: {listed}. Use: {', '.join(Scope)}."
        raise RightsRefused("scopes", msg)
    return replace(
        rights,
        scopes=tuple(str(scope) for scope in Scope if scope in (rights.scopes or DEFAULT_SCOPES)),
        queries=names("queries", rights.queries),
        sources=names("sources", rights.sources),
        parameters=checked_parameters(rights.parameters),
        row_filters=_row_filters(tenant, rights.row_filters),
        networks=_each("networks", rights.networks, lambda text: str(network(text))),
        origins=_each("origins", rights.origins, _origin),
    )


def _each(name: str, given: Iterable[str] | None, read: Any) -> tuple[str, ...] | None:
    try:
        return tuple(dict.fromkeys(read(text.strip()) for text in given or ())) or None
    except ValueError as error:
        raise RightsRefused(name, str(error)) from None


def names(name: str, given: Iterable[str] | None) -> tuple[str, ...] | None:
    def read(text: str) -> str:
        if not _NAME.match(text):
            msg = f"{text[:60]!r} is not a valid name."
            raise ValueError(msg)
        return text

    return _each(name, given, read)


def network(text: str) -> Network:
    """Parse an IP address or a network in CIDR notation; raises ValueError."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        msg = f"{text[:60]!r} is not an IP address or a network such as 203.0.113.0/24."
        raise ValueError(msg) from None


def _origin(text: str) -> str:
    parts = urlsplit(text)
    origin = f"{parts.scheme}://{parts.netloc}".lower()
    plain = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
    if not plain or origin != text.rstrip("/").lower():
        msg = f"{text[:60]!r} is not an origin such as https://shop.example.com."
        raise ValueError(msg)
    return origin


def checked_parameters(given: Any) -> dict[str, Any]:
    named = isinstance(given, Mapping) and all(
        isinstance(name, str) and _PARAMETER.match(name) for name in given
    )
    if not named or not _is_kept(given):
        msg = 'Give parameters as a JSON object, such as {"customer": 7}.'
        raise RightsRefused("parameters", msg)
    return dict(given)


def _is_kept(given: Any) -> bool:
    """Whether it is short enough and JSON that Postgres can store: no NaN, NUL, lone surrogate."""
    try:
        text = json.dumps(storable(given), allow_nan=False, ensure_ascii=False)
        text.encode()
    except (ValueError, RecursionError):
        return False
    return len(text) <= MAX_PARAMETERS and not _NUL.search(text)


def _row_filters(tenant: Tenant, given: Any) -> dict[str, str]:
    try:
        return filters.check(tenant, given)
    except (filters.FilterRefused, WarehouseError) as error:
        raise RightsRefused("row_filters", str(error)) from None


def narrowed(wanted: Rights, own: Rights) -> Rights:
    """``wanted``, with what it leaves out inherited from ``own``, the rights of the granting key.

    Both must be in normal form. Raises RightsExceeded if ``wanted`` exceeds ``own``.
    """
    _within("scopes", wanted.scopes, own.scopes)
    return replace(
        wanted,
        expires_at=_earlier(wanted.expires_at, own.expires_at),
        queries=_within("queries", wanted.queries, own.queries),
        sources=_within("sources", wanted.sources, own.sources),
        parameters=_held(wanted.parameters, own.parameters),
        row_filters=filters.both(own.row_filters, wanted.row_filters),
        networks=_inside(wanted.networks, own.networks),
        origins=_within("origins", wanted.origins, own.origins),
    )


def _within(
    name: str, wanted: tuple[str, ...] | None, own: tuple[str, ...] | None
) -> tuple[str, ...] | None:
    if wanted is None or own is None:
        return own if wanted is None else wanted
    if more := sorted(set(wanted) - set(own)):
        raise _exceeded(name, ", ".join(more))
    return wanted


def _inside(wanted: tuple[str, ...] | None, own: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if wanted is None or own is None:
        return own if wanted is None else wanted
    outer = [network(text) for text in own]
    for text in wanted:
        if not any(_is_part(network(text), other) for other in outer):
            raise _exceeded("networks", text)
    return wanted


def _is_part(inner: Network, outer: Network) -> bool:
    if isinstance(inner, ipaddress.IPv4Network) and isinstance(outer, ipaddress.IPv4Network):
        return inner.subnet_of(outer)
    if isinstance(inner, ipaddress.IPv6Network) and isinstance(outer, ipaddress.IPv6Network):
        return inner.subnet_of(outer)
    return False


def _earlier(wanted: datetime | None, own: datetime | None) -> datetime | None:
    if wanted is None or own is None:
        return own if wanted is None else wanted
    if wanted > own:
        raise _exceeded("expires_at", wanted.isoformat())
    return wanted


def _held(wanted: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in own.items():
        if name in wanted and wanted[name] != value:
            raise _exceeded("parameters", name)
    return {**wanted, **own}


def _exceeded(name: str, what: str) -> RightsExceeded:
    return RightsExceeded(
        name, f"The calling key can't grant rights that it does not have: {what}."
    )
