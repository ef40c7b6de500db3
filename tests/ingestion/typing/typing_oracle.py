"""What must become of a JSON value in a column, decided in Python from the written rules.

The rules are those of docs/reference/column-types.md.

Nothing of it is the product's: the value is read from its text, and no SQL is asked.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import math
import re
import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

_EXACT = Context(prec=400, Emax=999_999, Emin=-999_999)
#: An outcome: the message is in quarantine.
MISFIT = object()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Missing(Exception):
    """There is no value, although there is one in the message."""


class Misfit(Exception):
    """The value belongs into the quarantine."""


@dataclass(frozen=True)
class Either:
    """Lands as ``value``, or is in quarantine.

    Only for integers of 76 digits and more that are written with a point or an exponent: the widest
    decimal, which they are read by, has 76.
    """

    value: Any


class Number(str):
    """A JSON number by its text."""

    __slots__ = ()

    @property
    def exact(self) -> Decimal:
        return _EXACT.create_decimal(self)

    @property
    def is_plain(self) -> bool:
        return re.fullmatch(r"-?[0-9]+", self) is not None


def _refuse(_: str) -> Any:
    raise Misfit


def read(token: str) -> Any:
    """The value of a JSON text; raises Misfit where it is none."""
    try:
        found = json.loads(token, parse_int=Number, parse_float=Number, parse_constant=_refuse)
    except ValueError as error:
        raise Misfit from error
    _check(found)
    return found


def _check(found: Any) -> None:
    """Refuse what the engine takes for no JSON: numbers beyond doubles, halves of surrogates."""
    if isinstance(found, Number):
        if found.exact.adjusted() > 308:
            raise Misfit
    elif isinstance(found, str):
        if any(0xD800 <= ord(one) < 0xE000 for one in found):
            raise Misfit
    elif isinstance(found, list | dict):
        for one in [*found, *(found.values() if isinstance(found, dict) else ())]:
            _check(one)


def _number(value: Any) -> Number:
    if not isinstance(value, Number):
        raise Misfit
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or isinstance(value, Number):
        raise Misfit
    return value


def integer(low: int, high: int) -> Callable[[Any], Any]:
    def rule(value: Any) -> Any:
        number = _number(value)
        if number.exact != number.exact.to_integral_value() or not low <= number.exact <= high:
            raise Misfit
        made = int(number.exact)
        is_wide = not number.is_plain and abs(made) >= 10**75
        return Either(made) if is_wide else made

    return rule


def float64(value: Any) -> float:
    number = _number(value)
    made = float(int(number) if number.is_plain else number)  # -0 is an integer
    if math.isinf(made):
        raise Misfit
    return made


def float32(value: Any) -> Any:
    number = float64(value)
    if abs(number) > 3.4028234663852886e38:
        raise Misfit
    return struct.unpack("f", struct.pack("f", number))[0]


def decimal(digits: int, scale: int) -> Callable[[Any], Any]:
    def rule(value: Any) -> Any:
        number = _number(value)
        scaled = number.exact.scaleb(scale, _EXACT)
        if scaled != scaled.to_integral_value() or abs(scaled) >= Decimal(10) ** digits:
            raise Misfit
        return number.exact

    return rule


def boolean(value: Any) -> Any:
    if not isinstance(value, bool):
        raise Misfit
    return value


def string(value: Any) -> Any:
    return str(_text(value))


def fixed(size: int) -> Callable[[Any], Any]:
    def rule(value: Any) -> Any:
        encoded = _text(value).encode()
        if len(encoded) != size:
            raise Misfit
        return encoded

    return rule


def enum(*names: str) -> Callable[[Any], Any]:
    def rule(value: Any) -> Any:
        if _text(value) not in names:
            raise Misfit
        return str(value)

    return rule


def uuids(value: Any) -> Any:
    text = _text(value)
    if not re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text):
        raise Misfit
    return uuid.UUID(text)


def address(kind: type[ipaddress.IPv4Address | ipaddress.IPv6Address]) -> Callable[[Any], Any]:
    def rule(value: Any) -> Any:
        try:
            return kind(_text(value).replace("%", "?"))
        except ValueError as error:
            raise Misfit from error

    return rule


def day(first: str, last: str) -> Callable[[Any], Any]:
    def rule(value: Any) -> Any:
        text = _text(value)
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text, re.ASCII):
            raise Misfit
        try:
            found = date.fromisoformat(text)
        except ValueError as error:
            raise Misfit from error
        if not date.fromisoformat(first) <= found <= date.fromisoformat(last):
            raise Misfit
        return found

    return rule


_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?"
    r"(Z|[+-](?:[01]\d|2[0-3]):?[0-5]\d)?",
    re.ASCII,
)
#: Of the years 1900 to 2299.
_SECONDS = range(-2_208_988_800, 10_413_792_000)
_MILLISECONDS_FROM = 100_000_000_000


def moment(years: range, seconds: range, digits: int, zone: str) -> Callable[[Any], Any]:
    """A text is bounded by its ``years``, a number (and a DateTime) by its ``seconds``.

    Of 9 digits it is an integer of nanoseconds, which Python has no time of.
    """

    def rule(value: Any) -> Any:
        if isinstance(value, Number):
            made = _from_epoch(value, digits)
            is_bounded = math.floor(made) in seconds
        else:
            made = _from_text(_text(value), digits, ZoneInfo(zone), years)
            is_bounded = digits > 0 or math.floor(made) in seconds
        if not is_bounded:
            raise Misfit
        return int(made * 10**9) if digits == 9 else _at(made)

    return rule


def _at(seconds: Fraction) -> datetime:
    return _EPOCH + timedelta(microseconds=int(seconds * 1_000_000))


def _from_epoch(number: Number, digits: int) -> Fraction:
    """Seconds; from 100,000,000,000 on they were milliseconds, which are whole."""
    exact = Fraction(number.exact)
    is_milliseconds = abs(exact) >= _MILLISECONDS_FROM
    seconds = exact / 1000 if is_milliseconds else exact
    if (seconds * 10**digits).denominator > 1 or (is_milliseconds and exact.denominator > 1):
        raise Misfit
    return seconds


def _from_text(text: str, digits: int, zone: ZoneInfo, years: range) -> Fraction:
    found = _TIME.fullmatch(text)
    if found is None:
        raise Misfit
    *numbers, fraction, offset = found.groups()
    if (fraction or "").rstrip("0")[digits:]:
        raise Misfit
    try:
        local = datetime(*(int(one or 0) for one in numbers))  # type: ignore[arg-type] # noqa: DTZ001
    except ValueError as error:
        raise Misfit from error
    if local.year not in years:
        raise Misfit
    made = _local(local, zone) if offset is None else local.replace(tzinfo=UTC) - _away(offset)
    return Fraction((made - _EPOCH) // timedelta(seconds=1)) + Fraction(f"0.{fraction or 0}")


def _local(local: datetime, zone: ZoneInfo) -> datetime:
    """In UTC; of an hour that comes twice the first. One that is skipped is no time."""
    made = local.replace(tzinfo=zone).astimezone(UTC)
    if made.astimezone(zone).replace(tzinfo=None) != local:
        raise Misfit
    return made


def _away(offset: str) -> timedelta:
    if offset == "Z":
        return timedelta()
    away = timedelta(hours=int(offset[1:3]), minutes=int(offset[-2:]))
    return -away if offset[0] == "-" else away


def array(element: Callable[[Any], Any], *, nullable: bool = False) -> Callable[[Any], Any]:
    def rule(value: Any) -> Any:
        if not isinstance(value, list):
            raise Misfit
        return _all([_of(element, one, nullable=nullable) for one in value], list)

    return rule


def mapping(element: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def rule(value: Any) -> Any:
        if not isinstance(value, dict):
            raise Misfit
        made = [_of(element, one, nullable=False) for one in value.values()]
        return _all(made, lambda found: dict(zip(value, found, strict=True)))

    return rule


def record(**members: tuple[Callable[[Any], Any], bool]) -> Callable[[Any], Any]:
    """An object; of each name its rule, and whether it may be null or missing."""

    def rule(value: Any) -> Any:
        if not isinstance(value, dict):
            raise Misfit
        made = [
            _of(element, value.get(name), nullable=nullable)
            for name, (element, nullable) in members.items()
        ]
        return _all(made, lambda found: dict(zip(members, found, strict=True)))

    return rule


def _of(element: Callable[[Any], Any], value: Any, *, nullable: bool) -> Any:
    return None if value is None and nullable else element(value)


def _all(found: list[Any], build: Callable[[list[Any]], Any]) -> Any:
    if any(isinstance(one, Either) for one in found):
        return Either(build([one.value if isinstance(one, Either) else one for one in found]))
    return build(found)


# --- Formats ------------------------------------------------------------------------------------

#: Between a column's type and its format.
FORMAT = " in the format "
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def in_order(pattern: str, order: str, rule: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A text of the pattern; its groups, in this order, are what ``rule`` reads in ISO 8601."""

    def rewritten(value: Any) -> Any:
        found = re.fullmatch(pattern, _text(value), re.ASCII | re.IGNORECASE)
        if found is None:
            raise Misfit
        texts = found.groupdict()
        parts = {name: texts[name].zfill(2) if name in "dmHMS" else texts[name] for name in texts}
        if "b" in parts:
            if (name := parts["b"].title()) not in _MONTHS:
                raise Misfit
            parts["m"] = f"{_MONTHS.index(name) + 1:02d}"
        return rule(order.format(**parts))

    return rewritten


def epoch(places: int, seconds: range, digits: int) -> Callable[[Any], Any]:
    """A number of seconds with the point that many places further to the right."""

    def rule(value: Any) -> Any:
        made = Fraction(_number(value).exact) / 10**places
        if (made * 10**digits).denominator > 1 or math.floor(made) not in seconds:
            raise Misfit
        return int(made * 10**9) if digits == 9 else _at(made)

    return rule


def either_text(yes: str, no: str) -> Callable[[Any], Any]:
    def rule(value: Any) -> Any:
        if isinstance(value, bool):
            return value
        if _text(value) not in {yes, no}:
            raise Misfit
        return value == yes

    return rule


def base64_of(size: int) -> Callable[[Any], Any]:
    def rule(value: Any) -> Any:
        text = str(_text(value))
        try:
            made = base64.b64decode(text, validate=True)
        except ValueError as error:
            raise Misfit from error
        if base64.b64encode(made).decode() != text or len(made) != size:
            raise Misfit
        return made

    return rule


def in_text(rule: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """JSON in a text. Null there is no value either."""

    def inner(value: Any) -> Any:
        made = read(_text(value))
        if made is None:
            raise Missing
        return rule(made)

    return inner


#: Each column's type, and what must become of a value that is there.
RULES: dict[str, Callable[[Any], Any]] = {
    **{
        f"Nullable({sign}Int{bits})": integer(
            0 if sign else -(1 << bits - 1), (1 << (bits if sign else bits - 1)) - 1
        )
        for sign in ("", "U")
        for bits in (8, 16, 32, 64, 128, 256)
    },
    "Nullable(Float32)": float32,
    "Nullable(Float64)": float64,
    "Nullable(Decimal(9, 2))": decimal(9, 2),
    "Nullable(Decimal(18, 4))": decimal(18, 4),
    "Nullable(Decimal(38, 10))": decimal(38, 10),
    "Nullable(Bool)": boolean,
    "Nullable(String)": string,
    "LowCardinality(Nullable(String))": string,
    "Nullable(FixedString(5))": fixed(5),
    "Nullable(Enum8('open' = 1, 'it''s' = 2))": enum("open", "it's"),
    "Nullable(UUID)": uuids,
    "Nullable(IPv4)": address(ipaddress.IPv4Address),
    "Nullable(IPv6)": address(ipaddress.IPv6Address),
    "Nullable(Date)": day("1970-01-01", "2149-06-06"),
    "Nullable(Date32)": day("0001-01-01", "9999-12-31"),
    "Nullable(DateTime)": moment(range(1960, 2107), range(1 << 32), 0, "UTC"),
    "Nullable(DateTime('America/New_York'))": moment(
        range(1960, 2107), range(1 << 32), 0, "America/New_York"
    ),
    "Nullable(DateTime64(3))": moment(range(1900, 2300), _SECONDS, 3, "UTC"),
    "Nullable(DateTime64(6, 'Asia/Kolkata'))": moment(
        range(1900, 2300), _SECONDS, 6, "Asia/Kolkata"
    ),
    "Nullable(DateTime64(9))": moment(
        range(1900, 2262), range(-2_208_988_800, 9_223_372_036), 9, "UTC"
    ),
    "Nullable(Decimal(76, 20))": decimal(76, 20),
    "Nullable(Enum16('open' = -300, 'closed' = 300))": enum("open", "closed"),
    "Array(Decimal(38, 20))": array(decimal(38, 20)),
    "Array(Nullable(DateTime64(3)))": array(
        moment(range(1900, 2300), _SECONDS, 3, "UTC"), nullable=True
    ),
    "Map(String, Array(Nullable(UInt256)))": mapping(
        array(integer(0, (1 << 256) - 1), nullable=True)
    ),
    "Map(String, String)": mapping(string),
    "Array(Bool)": array(boolean),
    "Array(Int32)": array(integer(-(1 << 31), (1 << 31) - 1)),
    "Array(Nullable(String))": array(string, nullable=True),
    "Array(Array(Float64))": array(array(float64)),
    "Map(String, Int64)": mapping(integer(-(1 << 63), (1 << 63) - 1)),
    "Array(Tuple(s String, d Decimal(38, 10), l Array(Int128), f Nullable(Float64)))": array(
        record(
            s=(string, False),
            d=(decimal(38, 10), False),
            l=(array(integer(-(1 << 127), (1 << 127) - 1)), False),
            f=(float64, True),
        )
    ),
    "Map(String, Tuple(b Bool, t Nullable(DateTime64(3))))": mapping(
        record(b=(boolean, False), t=(moment(range(1900, 2300), _SECONDS, 3, "UTC"), True))
    ),
    f"Array(Tuple(s String)){FORMAT}json": in_text(array(record(s=(string, False)))),
    f"Nullable(Date){FORMAT}%d.%m.%Y": in_order(
        r"(?P<d>\d\d?)\.(?P<m>\d\d?)\.(?P<Y>\d{4})",
        "{Y}-{m}-{d}",
        day("1970-01-01", "2149-06-06"),
    ),
    f"Nullable(Date32){FORMAT}%b %d %Y": in_order(
        r"(?P<b>[a-z]{3}) (?P<d>\d\d?) (?P<Y>\d{4})",
        "{Y}-{m}-{d}",
        day("0001-01-01", "9999-12-31"),
    ),
    f"Nullable(DateTime64(3)){FORMAT}%Y/%m/%d %T.%f [America/New_York]": in_order(
        r"(?P<Y>\d{4})/(?P<m>\d\d?)/(?P<d>\d\d?) (?P<H>\d\d?):(?P<M>\d\d?):(?P<S>\d\d?)"
        r"\.(?P<f>\d{1,9})",
        "{Y}-{m}-{d} {H}:{M}:{S}.{f}",
        moment(range(1900, 2300), _SECONDS, 3, "America/New_York"),
    ),
    f"Nullable(DateTime){FORMAT}%Y%m%d%H%M%z": in_order(
        r"(?P<Y>\d{4})(?P<m>\d\d)(?P<d>\d\d)(?P<H>\d\d)(?P<M>\d\d)(?P<z>Z|[+-]\d\d:?\d\d)",
        "{Y}-{m}-{d} {H}:{M}{z}",
        moment(range(1960, 2107), range(1 << 32), 0, "UTC"),
    ),
    f"Nullable(DateTime){FORMAT}s": epoch(0, range(1 << 32), 0),
    f"Nullable(DateTime64(3)){FORMAT}ms": epoch(3, _SECONDS, 3),
    f"Nullable(DateTime64(6)){FORMAT}ns": epoch(9, _SECONDS, 6),
    f"Nullable(DateTime64(9)){FORMAT}us": epoch(6, range(-2_208_988_800, 9_223_372_036), 9),
    f"Array(DateTime64(3)){FORMAT}us": array(epoch(6, _SECONDS, 3)),
    f"Nullable(Bool){FORMAT}open/closed": either_text("open", "closed"),
    f"Nullable(FixedString(5)){FORMAT}base64": base64_of(5),
    f"Array(Int32){FORMAT}json": in_text(array(integer(-(1 << 31), (1 << 31) - 1))),
    f"Map(String, Decimal(38, 10)){FORMAT}json": in_text(mapping(decimal(38, 10))),
}


def outcome(kind: str, token: str) -> Any:
    """What lands of ``token`` in a column that need not be given; an Either; or MISFIT."""
    try:
        value = read(token)
        if value is not None:
            return RULES[kind](value)
    except Misfit:
        return MISFIT
    except Missing:
        pass
    return {"Arr": [], "Map": {}}.get(kind[:3])
