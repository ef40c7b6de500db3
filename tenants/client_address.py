"""The client address of a request. ``X-Forwarded-For`` counts only if a trusted proxy sent it."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from functools import lru_cache

from django.conf import settings

from tenants.rights import Network, network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@lru_cache(maxsize=4)
def _networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(map(network, texts))


def trusted() -> tuple[Network, ...]:
    """The networks of trusted proxies; raises ValueError for a setting that is not a network."""
    return _networks(tuple(settings.MILLRACE_TRUSTED_PROXIES))


def client_address(meta: Mapping[str, str]) -> Address | None:
    """The caller's address; None if it is unknown (a Unix socket, a broken header).

    Each proxy appends to ``X-Forwarded-For`` the address it received the request from. The last
    entry that is not a trusted proxy counts: the caller may have forged everything before it.
    """
    proxies = trusted()
    hops = [meta.get("REMOTE_ADDR", "")]
    if proxies:
        hops = [*meta.get("HTTP_X_FORWARDED_FOR", "").split(","), *hops]
    address = None
    for hop in reversed([hop for hop in hops if hop.strip()]):
        address = _read(hop.strip())
        if address is None or not any(address in proxy for proxy in proxies):
            break
    return address


def _read(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
