"""The formats of a result, all ClickHouse's own, by name, file ending or media type."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from django.http import HttpRequest

from tenants.warehouse.statements import QUOTING


@dataclass(frozen=True)
class ResultFormat:
    """A result format. ``name`` is the value of ``?format=`` and the ending of an address.

    ``clickhouse`` is ClickHouse's name for the format, ``settings`` are its ClickHouse settings,
    and ``lacks`` the types that it can't hold. ``replaces``: ClickHouse writes U+FFFD for bytes
    that are not UTF-8.
    """

    name: str
    clickhouse: str
    content_type: str
    media_types: tuple[str, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()
    is_text: bool = True
    holds_totals: bool = False
    replaces: bool = False
    lacks: frozenset[str] = frozenset()

    def quoted(self) -> ResultFormat:
        """The same format with numbers as strings that many JSON readers would round or reject."""
        media_types = tuple(f"{media_type};numbers=quoted" for media_type in self.media_types)
        settings = tuple((name, "1") for name in QUOTING)
        return replace(self, name=f"{self.name}-quoted", media_types=media_types, settings=settings)


_JSON = ResultFormat(
    "json",
    "JSON",
    "application/json",
    ("application/json",),
    holds_totals=True,
    replaces=True,
)
_NDJSON = ResultFormat(
    "ndjson",
    "JSONEachRow",
    "application/x-ndjson",
    ("application/x-ndjson", "application/ndjson", "application/jsonl"),
)
_JSONCOMPACT = ResultFormat(
    "jsoncompact", "JSONCompact", "application/json", holds_totals=True, replaces=True
)

FORMATS = (
    _JSON,
    _NDJSON,
    ResultFormat(
        "csv",
        "CSVWithNames",
        "text/csv; charset=utf-8",
        ("text/csv", "text/csv;header=present"),
    ),
    ResultFormat(
        "tsv",
        "TabSeparatedWithNames",
        "text/tab-separated-values; charset=utf-8",
        ("text/tab-separated-values",),
    ),
    ResultFormat(
        "parquet",
        "Parquet",
        "application/vnd.apache.parquet",
        ("application/vnd.apache.parquet", "application/x-parquet"),
        is_text=False,
        lacks=frozenset(
            [
                *("Nothing", "Interval", "Time", "Time64", "BFloat16", "AggregateFunction"),
                *("Variant", "Dynamic", "Geometry", "QBit", "Tuple()"),
            ]
        ),
    ),
    ResultFormat(
        "arrow",
        "ArrowStream",
        "application/vnd.apache.arrow.stream",
        ("application/vnd.apache.arrow.stream",),
        is_text=False,
        lacks=frozenset(["BFloat16", "AggregateFunction", "QBit"]),
    ),
    _JSONCOMPACT,
    *(form.quoted() for form in (_JSON, _NDJSON, _JSONCOMPACT)),
)
BY_NAME = {form.name: form for form in FORMATS}
#: Media types that Accept may name. Text is UTF-8, so it matches a range that asks for UTF-8.
_BY_MEDIA_TYPE = {
    f"{media_type}{charset}": form
    for charset in ("", ";charset=utf-8")
    for form in FORMATS
    if form.is_text or not charset
    for media_type in form.media_types
}


@lru_cache(maxsize=512)
def accepted(header: str) -> ResultFormat | None:
    """The format that an Accept header prefers (RFC 9110, 12.5.1); None if it accepts none.

    Django negotiates. That takes 0.2 ms, nearly as long as the rest of a call here. Callers send
    few different headers, so each header is negotiated once.
    """
    request = HttpRequest()
    request.META["HTTP_ACCEPT"] = header.lower() if header.strip() else "*/*"
    try:
        media_type = request.get_preferred_type(list(_BY_MEDIA_TYPE))
    except ValueError:  # a parameter (RFC 2231) with an unknown encoding
        return None
    return None if media_type is None else _BY_MEDIA_TYPE[media_type]


@lru_cache(maxsize=512)
def compression(header: str) -> str:
    """``zstd`` or ``gzip`` if an Accept-Encoding header accepts it, else ''."""
    accepts = {
        name.strip(): parameter.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
        for name, _, parameter in (entry.lower().partition(";") for entry in header.split(","))
    }
    return next((name for name in ("zstd", "gzip") if accepts.get(name)), "")
