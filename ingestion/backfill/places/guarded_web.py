"""Connections to the web for URLs that tenants name: only to public addresses.

Each connection resolves its name once, checks the addresses, and connects to one of them, so that
redirects and names that resolve anew are checked as well.
"""

from __future__ import annotations

import socket
from contextlib import suppress

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError

from ingestion import hosts


class _PublicOnly(HTTPConnection):
    """Connects to public addresses alone; raises Refused for any other."""

    def _new_conn(self) -> socket.socket:
        name = self._dns_host
        *others, last = hosts.check_public(hosts.HostPort(self.host, self.port or 0))
        try:
            for address in others:
                self._dns_host = address
                with suppress(NewConnectionError):
                    return super()._new_conn()
            self._dns_host = last
            return super()._new_conn()
        finally:
            # The certificate is checked against the name.
            self._dns_host = name


class _Https(_PublicOnly, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _PublicOnly


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


class GuardedManager(urllib3.PoolManager):
    """Its connections lead to public addresses alone; others raise Refused."""

    def __init__(self, timeout: urllib3.Timeout, retries: urllib3.Retry) -> None:
        super().__init__(timeout=timeout, retries=retries)
        self.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
