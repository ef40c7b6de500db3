"""Which hosts connections may reach: brokers, but never the platform's own services.

Public addresses are open. ``settings.MILLRACE_CONNECTION_NETWORKS`` opens others: ``private``
(10/8, 172.16/12, 192.168/16, 100.64/10, fc00::/7), ``loopback``, ``link-local``, a network, an
address, or ``host:port``. Only ``host:port`` opens one of the platform's own services. Link-local
addresses, where clouds serve credentials, must be named as well. Names are resolved and the
resulting addresses checked when a connection is saved, and again each time it is used.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from ingestion.errors import Refused
from ingestion.waiting import within

Address = IPv4Address | IPv6Address

#: Addresses outside the link-local networks where clouds serve credentials to machines.
_METADATA = frozenset(
    map(ip_address, ("fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"))
)
#: Seconds that resolving a name may take.
PATIENCE = 2.0
_SHARED = ip_network("100.64.0.0/10")
_NAT64 = ip_network("64:ff9b::/96")
_WRITTEN = re.compile(
    r"(?:(?P<scheme>[A-Za-z_]+)://)?(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?\Z"
)
#: The schemes that librdkafka accepts before an address.
_SCHEMES = frozenset({"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"})
#: ClickHouse's default ports, closed in addition to the one in its URL.
_CLICKHOUSE = (8123, 8443, 9000, 9004, 9005, 9009, 9440)


@dataclass(frozen=True)
class HostPort:
    """A host, by name or address, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def written(text: str, default_port: int) -> HostPort:
    """Parse ``host:port``; raises Refused for anything else."""
    match = _WRITTEN.match(text.strip())
    if match is not None and (match["scheme"] or "PLAINTEXT").upper() not in _SCHEMES:
        msg = (
            f"{text.strip()!r} is not a broker's address. Write host:port, without "
            f"{match['scheme']}://."
        )
        raise Refused(msg)
    port = int(match["port"] or default_port) if match else 0
    if match is None or not 0 < port < 65_536:
        msg = (
            f"{text.strip()!r} is not an address. Write host:port; separate several addresses "
            "by commas."
        )
        raise Refused(msg)
    return HostPort(match["host"].strip("[]"), port)


def check(place: HostPort) -> list[str]:
    """The addresses that ``place`` resolves to. Connect only to these.

    A name may resolve to something else the next time, so connecting by name would skip the check.
    Raises Refused if one of the addresses is off limits, OSError if the name can't be resolved.
    """
    addresses = resolved(place)
    named = str(place).lower()
    if named not in _allowed():
        for address in addresses:
            _judge(place, address)
    return [str(address) for address in addresses]


def check_public(place: HostPort) -> list[str]:
    """The addresses of a host that anyone may reach, and none of the platform's own.

    ``MILLRACE_CONNECTION_NETWORKS`` opens nothing here: a web server shows what it has to whoever
    asks. Raises Refused, and OSError if the name can't be resolved.
    """
    addresses = resolved(place)
    for address in addresses:
        for target in _inside(address):
            if kind_of(target) != "public" or _own_service(target, place.port):
                raise Refused(f"{place} leads to an address that is not public")
    return [str(address) for address in addresses]


def check_all(places: Iterable[HostPort]) -> None:
    """``check`` each place; skips a name that can't be resolved, because it leads nowhere."""
    for place in places:
        known(place)


def known(place: HostPort) -> list[str]:
    """Like ``check``, but an empty list if the name can't be resolved within PATIENCE."""
    try:
        return within(PATIENCE, lambda: check(place))
    except (OSError, UnicodeError):
        return []


def resolved(place: HostPort) -> list[Address]:
    """The addresses of the name now, from the resolver that connecting uses; raises OSError."""
    entries = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    texts = dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in entries)
    return [ip_address(text) for text in texts]


def _judge(place: HostPort, address: Address) -> None:
    shown = "" if place.host == str(address) else f" ({address})"
    for target in _inside(address):
        own = _own_service(target, place.port)
        if own:
            msg = (
                f"{place}{shown} is the platform's own {own}. Connections may not lead there, "
                f"unless MILLRACE_CONNECTION_NETWORKS names {place}."
            )
            raise Refused(msg)
        kind = kind_of(target)
        if kind != "public" and not _is_open(target, kind):
            msg = (
                f"{place}{shown} is a {kind} address, and connections may not lead there. The "
                "operator can open it with MILLRACE_CONNECTION_NETWORKS."
            )
            raise Refused(msg)


def _inside(address: Address) -> Iterator[Address]:
    """The address and the IPv4 ones that it is translated to (mapped, 6to4, Teredo, NAT64)."""
    yield address
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped or address.sixtofour:
            yield address.ipv4_mapped or address.sixtofour  # type: ignore[misc]
        if address.teredo:
            yield address.teredo[1]
        if address in _NAT64 or (int(address) >> 32 == 0 and int(address) > 0xFFFF):
            yield IPv4Address(int(address) & 0xFFFFFFFF)


def kind_of(address: Address) -> str:
    """``public``, ``private``, ``loopback``, ``link-local``, or ``special`` if it is no host."""
    if address in _METADATA or address.is_link_local:
        return "link-local"
    # Linux treats 0.0.0.0 and :: as the machine itself.
    if address.is_loopback or address.is_unspecified:
        return "loopback"
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return kind_of(address.ipv4_mapped)
    if address.is_multicast or (address.is_reserved and address not in _NAT64):
        return "special"
    if address.is_private or (address.version == 4 and address in _SHARED):
        return "special" if str(address).startswith("0.") else "private"
    return "public"


def _allowed() -> frozenset[str]:
    return frozenset(entry.strip().lower() for entry in settings.MILLRACE_CONNECTION_NETWORKS)


def _is_open(address: Address, kind: str) -> bool:
    return any(entry == kind or _holds(entry, address) for entry in _allowed())


def _holds(network: str, address: Address) -> bool:
    try:
        return address in ip_network(network, strict=False)
    except ValueError:  # a word, or host:port
        return False


# --- The platform's own -----------------------------------------------------------------------


def _own_service(address: Address, port: int) -> str:
    """The name of the platform's own service that listens there; '' if none does."""
    for name, place in own_services():
        if place.port != port:
            continue
        try:
            addresses = resolved(place)
        except (OSError, UnicodeError):
            continue
        ours = address in addresses or (
            kind_of(address) == "loopback" and any(kind_of(own) == "loopback" for own in addresses)
        )
        if ours:
            return name
    return ""


def own_services() -> Iterator[tuple[str, HostPort]]:
    """The platform's own services: (name, host and port) for each port that one listens on."""
    database = settings.DATABASES["default"]
    if host := str(database.get("HOST") or ""):
        yield "Postgres", HostPort(host, int(database.get("PORT") or 5432))
    yield from _by_url("cache", settings.CACHES["default"]["LOCATION"], 6379)
    yield from _by_url("Celery broker", settings.CELERY_BROKER_URL, 5672)
    for name, place in _by_url("ClickHouse", settings.CLICKHOUSE_URL, 8123):
        for port in {place.port, *_CLICKHOUSE}:
            yield name, HostPort(place.host, port)
    for name, url in settings.MILLRACE_OWN_URLS.items():
        yield from _by_url(name, url, 80)


def _by_url(name: str, urls: Any, default_port: int) -> Iterator[tuple[str, HostPort]]:
    for url in urls if isinstance(urls, list | tuple) else str(urls).split(";"):
        parts = urlsplit(url)
        if parts.hostname:
            port = parts.port or (6379 if parts.scheme.startswith("redis") else default_port)
            yield name, HostPort(parts.hostname, port)


# --- What a connection names ------------------------------------------------------------------


def brokers(addresses: str, kind: str) -> list[HostPort]:
    """The hosts and ports in a connection's addresses.

    Raises Refused if one can't be parsed, or if there are none: clients would then call localhost.
    """
    is_kafka = kind == "kafka"
    texts = [text.strip() for text in addresses.split(",") if text.strip()]
    if not texts:
        msg = "The connection has no address. Write host:port; separate several by commas."
        raise Refused(msg)
    return [
        written(text if is_kafka else _without_vhost(text), 9092 if is_kafka else 5672)
        for text in texts
    ]


def _without_vhost(address: str) -> str:
    server, _, vhost = address.partition("/")
    if ";" in vhost:  # kombu would read what follows it as another, unchecked address
        msg = (
            f"{address!r}: the virtual host may not contain a semicolon. Separate addresses by "
            "commas."
        )
        raise Refused(msg)
    return server


def token_endpoint(url: str) -> HostPort:
    """The host and port of a token URL. Raises Refused for plain http to a host name.

    A name may resolve to another address between our check and the client's connection. Over https
    the certificate would reveal that; over http nothing would.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.username is not None or "\\" in url:
        raise Refused("The token URL contains a login or a backslash. Remove it.")
    if parts.scheme != "https" and not _is_literal(host):
        msg = "Over http, the client secret can be read in transit. Use https://…"
        raise Refused(msg)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise Refused("The token URL's port is not a number from 1 to 65535.") from error
    shown = f"[{host}]" if ":" in host else host
    return written(f"{shown}:{port}", port)


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return host == "localhost"
    return True
