"""The forms in which a result can be had: ClickHouse's own, by name, file ending or media type."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

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
    ResultFormat("csv", "CSVWithNames", "text/csv; charset=utf-8", ("text/csv",)),
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
#: The one parameter of a media type that says anything here.
_QUOTED = "numbers=quoted"


@dataclass(frozen=True)
class _Range:
    """One entry of an Accept header: what it takes, and how gladly (0 to 1)."""

    main: str
    sub: str
    quality: float
    is_quoted: bool = False

    def fits(self, media_type: str) -> int:
        """0 where it does not fit ``media_type``, else more the more closely it names it."""
        media_type, semicolon, _ = media_type.partition(";")
        if bool(semicolon) != self.is_quoted:
            return 0
        main, _, sub = media_type.partition("/")
        if self.main == "*":
            return 1
        if self.main != main:
            return 0
        return 2 if self.sub == "*" else 3 * (self.sub == sub)


@lru_cache(maxsize=512)
def accepted(header: str) -> ResultFormat | None:
    """The format that an Accept header wants most (RFC 9110, 12.5.1), None where it takes none."""
    ranges = [_range(entry) for entry in header.split(",") if entry.strip()]
    if not ranges:
        return FORMATS[0]
    best: tuple[float, ResultFormat] | None = None
    for form in FORMATS:
        quality = max((_quality(ranges, media) for media in form.media_types), default=0.0)
        if quality > 0 and (best is None or quality > best[0]):
            best = quality, form
    return best[1] if best else None


def _quality(ranges: list[_Range], media_type: str) -> float:
    """The quality given by the range that names ``media_type`` most closely."""
    fitting = [(one.fits(media_type), one.quality) for one in ranges if one.fits(media_type)]
    return max(fitting, default=(0, 0.0))[1]


def _range(entry: str) -> _Range:
    media, *parameters = (part.strip() for part in entry.lower().split(";"))
    quality = 1.0
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                quality = min(max(float(parameter[2:]), 0.0), 1.0)
            except ValueError:
                quality = 0.0
    main, _, sub = media.partition("/")
    return _Range(main, sub, quality, _QUOTED in parameters)


@lru_cache(maxsize=512)
def compression(header: str) -> str:
    """``zstd`` or ``gzip`` where an Accept-Encoding header takes it, else ''."""
    wanted = {
        name.strip(): parameter.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
        for name, _, parameter in (entry.lower().partition(";") for entry in header.split(","))
    }
    return next((name for name in ("zstd", "gzip") if wanted.get(name)), "")
