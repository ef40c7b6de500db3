"""Two ways to call the endpoints: inside this process, or over HTTP as real callers do."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from django.conf import settings
from django.test import Client

#: Headers that differ between any two answers, so comparisons leave them out.
_VOLATILE = frozenset(
    {"date", "server", "connection", "x-millrace-query-id", "retry-after", "set-cookie"}
)
_VOLATILE_BEGINNINGS = ("ratelimit", "x-ratelimit")


@dataclass(frozen=True)
class HttpAnswer:
    """Status, headers in lower case, and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """Everything that the caller can see: headers and body."""
        headers = "\n".join(f"{name}: {value}" for name, value in self.headers.items())
        return f"{headers}\n\n{self.body.decode('utf-8', 'replace')}"

    def without(self, name: str) -> tuple[int, list[tuple[str, str]], bytes]:
        """The parts to compare two answers by, with the requested ``name`` replaced by ``?``."""
        kept = sorted(
            (header, value)
            for header, value in self.headers.items()
            if header not in _VOLATILE and not header.startswith(_VOLATILE_BEGINNINGS)
        )
        return self.status, kept, self.body.replace(name.encode(), b"?")


class Calls(Protocol):
    """Sends one request."""

    def call(
        self, method: str, path: str, authorization: str, document: object = None
    ) -> HttpAnswer: ...


def _body(method: str, document: object) -> bytes:
    if method in ("GET", "HEAD", "OPTIONS"):
        return b""
    return json.dumps({} if document is None else document).encode()


class Within:
    """Calls the application in this process, with all of its middleware."""

    def __init__(self) -> None:
        host = next((name for name in settings.ALLOWED_HOSTS if "*" not in name), "localhost")
        self._client = Client(raise_request_exception=False)
        self._host = f"www{host}" if host.startswith(".") else host

    def call(
        self, method: str, path: str, authorization: str, document: object = None
    ) -> HttpAnswer:
        """Return the application's answer; an unhandled exception becomes a status 500."""
        headers = {"Host": self._host} | ({"Authorization": authorization} if authorization else {})
        secure = bool(settings.SECURE_SSL_REDIRECT)
        answer = self._client.generic(
            method,
            path,
            _body(method, document),
            "application/json",
            secure=secure,
            headers=headers,
        )
        whole = b"".join(answer) if answer.streaming else answer.content
        return HttpAnswer(
            answer.status_code,
            {name.lower(): value for name, value in answer.items()},
            whole,
        )


class OverHttp:
    """Calls a running server, whose processes have a cache each."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            msg = f"{url!r} is not an address. Write https://host:port."
            raise ValueError(msg)
        self._kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._at = (parts.hostname, parts.port)

    def call(
        self, method: str, path: str, authorization: str, document: object = None
    ) -> HttpAnswer:
        """Return the server's answer; raises OSError if the server does not answer."""
        connection = self._kind(*self._at, timeout=60)
        headers = {"Content-Type": "application/json"}
        if authorization:
            headers["Authorization"] = authorization
        try:
            connection.request(method, path, _body(method, document) or None, headers)
            answer = connection.getresponse()
            heads = {name.lower(): value for name, value in answer.getheaders()}
            return HttpAnswer(answer.status, heads, answer.read())
        finally:
            connection.close()
