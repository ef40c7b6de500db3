"""Where connections may lead: to brokers, and never to what the platform itself runs on.

Public addresses are open. All else is by ``settings.MILLRACE_CONNECTION_NETWORKS``: ``private``
(10/8, 172.16/12, 192.168/16, 100.64/10, fc00::/7), ``loopback``, ``link-local``, a network, an
address, or ``host:port``. Only the last opens a service of the platform's own, and link-local
addresses, where clouds keep their credentials, need to be named too. Names are resolved, and what
they resolve to is judged, when a connection is saved and again whenever it is used.
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

#: Where clouds tell machines their credentials, outside of the link-local networks.
_METADATA = frozenset(
    map(ip_address, ("fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"))
)
#: Seconds in which a name must be answered for.
PATIENCE = 2.0
_SHARED = ip_network("100.64.0.0/10")
_NAT64 = ip_network("64:ff9b::/96")
_WRITTEN = re.compile(
    r"(?:(?P<scheme>[A-Za-z_]+)://)?(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?\Z"
)
#: What librdkafka lets stand before an address.
_SCHEMES = frozenset({"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"})
#: Ports of ClickHouse beside the one that its address names.
_CLICKHOUSE = (8123, 8443, 9000, 9004, 9005, 9009, 9440)


@dataclass(frozen=True)
class HostPort:
    """A host, by name or address, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def written(text: str, default_port: int) -> HostPort:
    """The place that ``host:port`` names; raises Refused for anything else."""
    found = _WRITTEN.match(text.strip())
    if found is not None and (found["scheme"] or "PLAINTEXT").upper() not in _SCHEMES:
        msg = f"{text.strip()!r} is no broker's address. Write host:port, without {found['scheme']}://."
        raise Refused(msg)
    port = int(found["port"] or default_port) if found else 0
    if found is None or not 0 < port < 65_536:
        msg = f"{text.strip()!r} is no address. Write host:port, several separated by commas."
        raise Refused(msg)
    return HostPort(found["host"].strip("[]"), port)


def check(place: HostPort) -> list[str]:
    """The addresses to which ``place`` leads, to connect to them and to no other.

    Raises Refused where one is off limits, OSError where the name is not known.
    """
    found = resolved(place)
    named = str(place).lower()
    if named not in _allowed():
        for address in found:
            _judge(place, address)
    return [str(one) for one in found]


def check_all(places: Iterable[HostPort]) -> None:
    """``check`` for each; one whose name is not known leads nowhere, and is passed over."""
    for place in places:
        known(place)


def known(place: HostPort) -> list[str]:
    """As ``check``, and nothing where the name is not known, or not answered for in time."""
    try:
        return within(PATIENCE, lambda: check(place))
    except (OSError, UnicodeError):
        return []


def resolved(place: HostPort) -> list[Address]:
    """What the name stands for now, as the resolver says that connects; raises OSError."""
    entries = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    texts = dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in entries)
    return [ip_address(text) for text in texts]


def _judge(place: HostPort, address: Address) -> None:
    shown = "" if place.host == str(address) else f" ({address})"
    for one in _inside(address):
        own = _own_service(one, place.port)
        if own:
            msg = (
                f"{place}{shown} is the platform's own {own}. Connections may not lead there, "
                f"unless MILLRACE_CONNECTION_NETWORKS names {place}."
            )
            raise Refused(msg)
        kind = kind_of(one)
        if kind != "public" and not _is_open(one, kind):
            msg = (
                f"{place}{shown} is a {kind} address, to which connections may not lead here. "
                "MILLRACE_CONNECTION_NETWORKS opens it."
            )
            raise Refused(msg)


def _inside(address: Address) -> Iterator[Address]:
    """The address, and those that it stands for behind a translation."""
    yield address
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped or address.sixtofour:
            yield address.ipv4_mapped or address.sixtofour  # type: ignore[misc]
        if address.teredo:
            yield address.teredo[1]
        if address in _NAT64 or (int(address) >> 32 == 0 and int(address) > 0xFFFF):
            yield IPv4Address(int(address) & 0xFFFFFFFF)


def kind_of(address: Address) -> str:
    """``public``, ``private``, ``loopback``, ``link-local``, or ``special`` for no host at all."""
    if address in _METADATA or address.is_link_local:
        return "link-local"
    # Linux takes 0.0.0.0 and :: for itself.
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
    return frozenset(one.strip().lower() for one in settings.MILLRACE_CONNECTION_NETWORKS)


def _is_open(address: Address, kind: str) -> bool:
    return any(one == kind or _holds(one, address) for one in _allowed())


def _holds(network: str, address: Address) -> bool:
    try:
        return address in ip_network(network, strict=False)
    except ValueError:  # a word, or host:port
        return False


# --- The platform's own -----------------------------------------------------------------------


def _own_service(address: Address, port: int) -> str:
    """What of the platform's own listens there, '' for nothing."""
    for name, place in own_services():
        if place.port != port:
            continue
        try:
            found = resolved(place)
        except (OSError, UnicodeError):
            continue
        ours = address in found or (
            kind_of(address) == "loopback" and any(kind_of(one) == "loopback" for one in found)
        )
        if ours:
            return name
    return ""


def own_services() -> Iterator[tuple[str, HostPort]]:
    """Names of the platform's services, and each place where one listens."""
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
    """The places in a connection's addresses; raises Refused for what is none."""
    is_kafka = kind == "kafka"
    named = (one.strip() for one in addresses.split(","))
    return [
        written(one if is_kafka else _without_vhost(one), 9092 if is_kafka else 5672)
        for one in named
        if one
    ]


def _without_vhost(address: str) -> str:
    server, _, vhost = address.partition("/")
    if ";" in vhost:  # kombu reads another address behind it
        msg = f"{address!r}: a virtual host here has no semicolon. Separate addresses by commas."
        raise Refused(msg)
    return server


def token_endpoint(url: str) -> HostPort:
    """Where a token URL leads. Raises Refused for plain http to a name.

    What a name resolves to may change between our look and the client's. Over https the
    certificate shows it; over http nothing would.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.username is not None or "\\" in url:
        raise Refused("The token URL holds a login, or a backslash. Leave it out.")
    if parts.scheme != "https" and not _is_literal(host):
        msg = "Over http anyone on the way reads the client secret. Write https://…"
        raise Refused(msg)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise Refused("The token URL's port is no number from 1 to 65535.") from error
    shown = f"[{host}]" if ":" in host else host
    return written(f"{shown}:{port}", port)


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return host == "localhost"
    return True
