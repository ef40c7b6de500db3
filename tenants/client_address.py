"""From where a request comes. ``X-Forwarded-For`` counts where a trusted proxy sent it."""

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
    """Networks of the proxies in front; raises ValueError for what is no network."""
    return _networks(tuple(settings.MILLRACE_TRUSTED_PROXIES))


def client_address(meta: Mapping[str, str]) -> Address | None:
    """The address that calls, None where it can't be told (a Unix socket, a broken header).

    Of ``X-Forwarded-For``, to which each proxy adds whom it got the request from, the last that is
    no trusted proxy counts: what stands before it, the caller may have written itself.
    """
    proxies = trusted()
    hops = [meta.get("REMOTE_ADDR", "")]
    if proxies:
        hops = [*meta.get("HTTP_X_FORWARDED_FOR", "").split(","), *hops]
    address = None
    for hop in reversed([one for one in hops if one.strip()]):
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
