"""Files on the web."""

from __future__ import annotations

import hashlib
import netrc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import urllib3

from ingestion.backfill.errors import FileUnreadable
from ingestion.backfill.file import shown
from ingestion.backfill.places.guarded_web import GuardedManager
from ingestion.backfill.places.place import RemotePlace, RemoteStream
from ingestion.errors import Refused

_TIMEOUT = urllib3.Timeout(connect=10, read=60)
#: Redirects that are followed, and repetitions of a request that no connection was made for.
_RETRIES = urllib3.Retry(total=5, connect=2, read=0, status=0, redirect=5, backoff_factor=0.2)
#: How often a download goes on after its connection broke.
_BREAKS = 5
#: The most bytes of one read: urllib3 loses those of a read in which the connection breaks.
_READ = 64 << 10


@dataclass(frozen=True)
class WebPlace(RemotePlace):
    """A file on the web. ``url`` may be secret, since presigned URLs carry their credentials.

    ``is_guarded``: only public addresses are asked, and without the operator's logins.
    """

    url: str = field(repr=False)
    is_guarded: bool = False

    @classmethod
    def of(cls, url: str, *, is_guarded: bool = False) -> WebPlace:
        """The file of a URL; raises FileUnreadable if it is none, or has a login."""
        try:
            parts = urlsplit(url)
            has_host = bool(parts.hostname) and parts.port != 0
        except ValueError:
            raise FileUnreadable("The URL can't be read. Write https://host/path.") from None
        if parts.username is not None:
            msg = (
                f"{parts.scheme}://{shown(parts.hostname or '')}: leave the login out of the URL, "
                "where others can see it. Write it into ~/.netrc."
            )
            raise FileUnreadable(msg)
        if not has_host or not parts.path.strip("/"):
            raise FileUnreadable(f"{shown(parts.netloc)}: write https://host/path.")
        return cls(url, is_guarded)

    @property
    def name(self) -> str:
        return unquote(urlsplit(self.url).path.rpartition("/")[2])

    @property
    def location(self) -> str:
        """The URL, with a hash of its query: that may be secret, or the name of the file."""
        parts = urlsplit(self.url)
        query = hashlib.sha256(parts.query.encode()).hexdigest()[:12]
        mark = f"?{query}" if parts.query else ""
        return f"{parts.scheme.lower()}://{parts.netloc}{parts.path}{mark}"

    @contextmanager
    def opened(self) -> Iterator[RemoteStream]:
        manager = GuardedManager if self.is_guarded else urllib3.PoolManager
        with manager(timeout=_TIMEOUT, retries=_RETRIES) as http:
            stream = _WebStream(self, http)
            try:
                yield stream
            finally:
                stream.close()


class _WebStream:
    """A download. After a break it goes on at its place, if server and ETag allow it."""

    def __init__(self, place: WebPlace, http: urllib3.PoolManager) -> None:
        self._place, self._http = place, http
        self._at, self._breaks = 0, 0
        self._response = self._asked({})
        headers = self._response.headers
        self.etag = headers.get("ETag", "")
        if self.etag.startswith("W/"):  # the bytes may differ under it
            self.etag = ""
        self._is_encoded = headers.get("Content-Encoding", "identity") != "identity"
        length = headers.get("Content-Length", "")
        self.size = int(length) if length.isdecimal() and not self._is_encoded else None
        if not length and headers.get("Transfer-Encoding", "").lower() != "chunked":
            raise self._wrong(
                "the server does not say how long it is, so that a cut one would pass for the "
                "whole. Download it, and load the copy"
            )

    def read(self, count: int) -> bytes:
        while True:
            try:
                data = self._response.read(min(count, _READ), decode_content=True)
            except urllib3.exceptions.HTTPError as error:
                self._go_on(error)
            else:
                self._at += len(data)
                return data

    def close(self) -> None:
        self._response.close()

    def _go_on(self, error: Exception) -> None:
        """Ask for the rest after the connection broke; raises FileUnreadable."""
        self._breaks += 1
        if not self.etag or self._is_encoded or self._breaks > _BREAKS:
            raise self._wrong(f"the connection broke after {self._at:,} bytes") from error
        self.close()
        self._response = self._asked({"Range": f"bytes={self._at}-", "If-Range": self.etag})
        said = self._response.headers.get("Content-Range", "")
        if self._response.status != 206 or not said.startswith(f"bytes {self._at}-"):
            raise self._wrong(
                f"the connection broke after {self._at:,} bytes, and the server does not send the "
                "rest alone, or the file has changed"
            ) from error

    def _asked(self, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
        url = self._place.url
        try:
            response = self._http.request(
                "GET",
                url,
                headers={"Accept-Encoding": "identity", **self._login(), **headers},
                preload_content=False,
            )
        except urllib3.exceptions.HTTPError as error:
            # The error's own words would show the URL's query.
            reason = getattr(error, "reason", None) or error
            raise self._wrong(f"{type(reason).__name__}, asking the server") from None
        except Refused as error:
            raise self._wrong(str(error)) from None
        if response.status not in (200, 206):
            response.close()
            if response.status in (404, 410):
                raise FileUnreadable(f"{shown(self._place.location)}: the file does not exist.")
            raise self._wrong(f"the server answers with status {response.status}")
        if url.startswith("https:") and (response.geturl() or "").startswith("http:"):
            response.close()
            raise self._wrong("the server redirects to http, where others could change it")
        return response

    def _login(self) -> dict[str, str]:
        return {} if self._place.is_guarded else _login(self._place.url)

    def _wrong(self, words: str) -> FileUnreadable:
        return FileUnreadable(f"{shown(self._place.location)}: it can't be read: {shown(words)}.")


def _login(url: str) -> dict[str, str]:
    """The header with the login that ~/.netrc has for the host, if any."""
    try:
        entry = netrc.netrc().hosts.get(urlsplit(url).hostname or "")
    except (OSError, netrc.NetrcParseError):
        return {}
    return urllib3.make_headers(basic_auth=f"{entry[0]}:{entry[2]}") if entry else {}
