"""What a request to the events endpoint says about its events, for columns that read it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import orjson

from ingestion.connectors.metadata_json import moment, written
from ingestion.ddl.metadata import HEADER


def kept(headers: Mapping[str, str], names: Iterable[str]) -> str:
    """The headers of a request among ``names``, as JSON to spool; '' if it has none.

    ``headers`` ignores case in names, as HTTP does. The other headers are never stored.
    """
    chosen = {name for name in names if name.startswith(HEADER)}
    values = {
        name: _bytes(value)
        for name in sorted(chosen)
        if (value := headers.get(name.removeprefix(HEADER))) is not None
    }
    return written(values).decode() if values else ""


def _bytes(value: str) -> bytes:
    """A header as it was sent: WSGI makes each byte the character of that number (PEP 3333)."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode()


def metadata(
    offsets: Iterable[int], received: int, headers: str, names: Sequence[str]
) -> list[bytes]:
    """The metadata of a request's events. ``received``: when it arrived, in ms since 1970."""
    of_request = {"timestamp": moment(received), **(orjson.loads(headers) if headers else {})}
    return [
        written({name: {"offset": offset, **of_request}.get(name) for name in names})
        for offset in offsets
    ]
