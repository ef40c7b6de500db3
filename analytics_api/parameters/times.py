"""Checks and writes a caller's dates and times by the rules of columns.

A time goes to ClickHouse as seconds since 1970, whatever its zone. A clock reading would be
ambiguous in the hour that a zone has twice, and ClickHouse would read it in the server's zone if
the type has none.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from analytics_api.parameters import numbers
from analytics_api.parameters.errors import Unfit
from analytics_api.parameters.types import ParameterType

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_TIME = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})[T ](?P<clock>(?:[01][0-9]|2[0-3]):[0-5][0-9])"
    r"(?P<seconds>:[0-5][0-9](?:\.(?P<fraction>[0-9]{1,60}))?)?"
    r"(?P<zone>Z|[+-](?:[01][0-9]|2[0-3]):?[0-5][0-9])?\Z"
)
#: A number of at least this magnitude counts milliseconds; a smaller one counts seconds.
_MILLISECONDS_FROM = 100_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: DateTime64 reaches from 1900 to 2299, with nanoseconds to 2262 (clickhouse.com/docs).
_EARLIEST, _LATEST, _LATEST_NS = -2_208_988_800, 10_413_791_999, 9_223_372_035
_LATEST_UINT32 = 4_294_967_295
_DATES = {
    "Date": (date(1970, 1, 1), date(2149, 6, 6)),
    "Date32": (date(1900, 1, 1), date(2299, 12, 31)),
}


def day(kind: ParameterType, value: Any) -> str:
    if not isinstance(value, str) or not _DAY.match(value):
        raise Unfit
    parsed = date.fromisoformat(value)
    first, last = _DATES[kind.base]
    if not first <= parsed <= last:
        raise Unfit("it is out of range")
    return parsed.isoformat()


def moment(kind: ParameterType, value: Any) -> str:
    """The moment of a time with an offset or ``Z``; without, it is in the type's zone, or UTC."""
    if numbers.is_number(value):
        seconds, fraction = _of_number(kind, numbers.read(value))
    else:
        seconds, fraction = _of_text(kind, value)
    first, last = _range(kind)
    if not first <= seconds <= last:
        raise Unfit("it is out of range")
    return _written(seconds, fraction, digits(kind))


def digits(kind: ParameterType) -> int:
    """How many fractional digits of a second the type has."""
    return (kind.numbers or (3,))[0] if kind.base == "DateTime64" else 0


def _range(kind: ParameterType) -> tuple[int, int]:
    """The first and the last second of the type, since 1970."""
    if kind.base == "DateTime":
        return 0, _LATEST_UINT32
    return _EARLIEST, _LATEST_NS if digits(kind) == 9 else _LATEST


def _of_number(kind: ParameterType, number: Decimal) -> tuple[int, int]:
    """Seconds, and the rest in the type's unit (``10**-digits`` seconds)."""
    scale, units = digits(kind), 0
    if abs(number) >= _MILLISECONDS_FROM:
        milliseconds = numbers.whole(number)
        units, rest = divmod(milliseconds * 10**scale, 1_000)
        if rest:
            raise Unfit(_finer(3, scale))
    else:
        if numbers.places(number) > scale:
            raise Unfit(_finer(numbers.places(number), scale))
        units = int(number.scaleb(scale))
    return divmod(units, int(10**scale))


def _of_text(kind: ParameterType, value: Any) -> tuple[int, int]:
    parts = _TIME.match(value) if isinstance(value, str) else None
    if parts is None:
        raise Unfit
    clock = f"{parts['clock']}{(parts['seconds'] or ':00')[:3]}"
    local = datetime.fromisoformat(f"{parts['day']}T{clock}")
    fraction = (parts["fraction"] or "").rstrip("0")
    if len(fraction) > digits(kind):
        raise Unfit(_finer(len(fraction), digits(kind)))
    since = _instant(local, parts["zone"], kind.zone or "UTC") - _EPOCH
    return since.days * 86_400 + since.seconds, int(fraction.ljust(digits(kind), "0") or 0)


def _finer(given: int, fitting: int) -> str:
    return f"it has {given} fractional digits of a second, but only {fitting} fit"


def _instant(local: datetime, offset: str | None, zone: str) -> datetime:
    """The moment at which clocks show ``local``: the first, if they show it twice."""
    if offset:
        return datetime.fromisoformat(f"{local.isoformat()}{offset}").astimezone(UTC)
    instant = local.replace(tzinfo=_zone(zone)).astimezone(UTC)
    if instant.astimezone(_zone(zone)).replace(tzinfo=None) != local:
        raise Unfit(f"clocks in {zone} skip that time")
    return instant


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise Unfit(f"the server does not know the time zone {name}: give an offset") from None


def _written(seconds: int, rest: int, scale: int) -> str:
    """Seconds as ClickHouse reads them: padded, since it takes fewer than five digits otherwise."""
    units = seconds * 10**scale + rest
    whole, fraction = divmod(abs(units), 10**scale)
    sign = "-" if units < 0 else ""
    return f"{sign}{whole:010d}" + (f".{fraction:0{scale}d}" if scale else "")
