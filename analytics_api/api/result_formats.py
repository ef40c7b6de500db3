"""The forms in which a result can be had: ClickHouse's own, by name, file ending or media type."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from django.http import HttpRequest

from tenants.warehouse.statements import QUOTING


@dataclass(frozen=True)
class ResultFormat:
    """A format. ``name`` stands in ``?format=`` and after the dot of an address.

    ``settings`` are ClickHouse's for it. ``lacks`` are types that it has not. ``replaces``: what is
    not UTF-8 is replaced by ClickHouse.
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
        """The same with numbers as texts that many a reader of JSON would round, or has not."""
        media_types = tuple(f"{one};numbers=quoted" for one in self.media_types)
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
    *(one.quoted() for one in (_JSON, _NDJSON, _JSONCOMPACT)),
)
BY_NAME = {form.name: form for form in FORMATS}
#: What Accept may name. Text is UTF-8, so a range that asks for UTF-8 takes it.
_BY_MEDIA_TYPE = {
    f"{media_type}{charset}": form
    for charset in ("", ";charset=utf-8")
    for form in FORMATS
    if form.is_text or not charset
    for media_type in form.media_types
}


@lru_cache(maxsize=512)
def accepted(header: str) -> ResultFormat | None:
    """The format that an Accept header wants most (RFC 9110, 12.5.1), None where it takes none.

    Django negotiates. That takes it 0.2 ms, nearly as long as all else of a call here, and callers
    send few different headers: so each is negotiated once.
    """
    request = HttpRequest()
    request.META["HTTP_ACCEPT"] = header.lower() if header.strip() else "*/*"
    try:
        media_type = request.get_preferred_type(list(_BY_MEDIA_TYPE))
    except ValueError:  # an encoding of a parameter (RFC 2231) that there is not
        return None
    return None if media_type is None else _BY_MEDIA_TYPE[media_type]


@lru_cache(maxsize=512)
def compression(header: str) -> str:
    """``zstd`` or ``gzip`` where an Accept-Encoding header takes it, else ''."""
    wanted = {
        name.strip(): parameter.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
        for name, _, parameter in (entry.lower().partition(";") for entry in header.split(","))
    }
    return next((name for name in ("zstd", "gzip") if wanted.get(name)), "")
