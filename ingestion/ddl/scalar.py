"""SQL that types one JSON value: an expression that is NULL where the value does not fit.

What the engine does by itself with a misfit is to wrap, cut, null or default it. So each value is
read as what JSON says it is (``Dynamic``: Int64, UInt64, Float64, String, Bool), and only then, by
``accurateCastOrNull`` or a check of its own, made what the column asks for. No function used here
raises an exception, since one would hold up the whole batch.

A column of ``Dynamic`` that has met a float reads later integers as floats, too, so an integer is
never taken from a double that can't hold it: from 2^53 on its digits are those in the message.

Decisions: 1.0 and 1e3 are integers (JSON knows one kind of number: RFC 8259, section 6); a time
without a zone is in the column's zone, else UTC; a number is a time in seconds below
100,000,000,000 (by magnitude) and in milliseconds from there on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ingestion.ddl.names import text
from ingestion.ddl.types import FLOATS, INTEGERS, ColumnType

_EXACT = 1 << 53
_MAX_FLOAT32 = "3.4028234663852886e38"
_NUMBER = r"^-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?$"
_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9]"
_OFFSET = r"(Z|[+-][0-9]{2}:?[0-9]{2})?"
#: ISO 8601 as RFC 3339 profiles it; seconds and offset may be left out.
_TIME = rf"^{_DAY}[T ]{_CLOCK}(:[0-5][0-9](\\.[0-9]{{1,9}})?)?{_OFFSET}$"
#: From 1900 to 2299, and to 2262 with nanoseconds (clickhouse.com, DateTime64).
_EARLIEST_MS, _LATEST_MS, _LATEST_NS_MS = -2_208_988_800_000, 10_413_791_999_999, 9_223_372_036_000
_LATEST_UINT32_MS = 4_294_967_295_999


@dataclass(frozen=True, slots=True)
class Value:
    """Expressions: ``dynamic``, the value; ``string``, it as a text; ``token``, a number's digits.

    ``message`` is the whole message. ``quoted`` says that a number may stand in quotes.
    """

    dynamic: str
    string: str
    token: str = "''"  # noqa: S105 - of a parser
    message: str = "raw"
    quoted: bool = False

    def of(self, kind: str) -> str:
        return f"dynamicElement({self.dynamic}, '{kind}')"

    @property
    def int64(self) -> str:
        return self.of("Int64")

    @property
    def uint64(self) -> str:
        return self.of("UInt64")

    @property
    def float64(self) -> str:
        return self.of("Float64")

    @property
    def text(self) -> str:
        """A JSON string. Where the engine was let to guess a date, it is read again."""
        guessed = f"if(startsWith(dynamicType({self.dynamic}), 'Date'), {self.string}, NULL)"
        held = f"if(isNotNull({self.large}), NULL, {self.of('String')})"
        return f"if(isNotNull({self.of('String')}), {held}, {guessed})"

    @property
    def large(self) -> str:
        """An integer beyond 64 bits, which the engine reads as if it stood in quotes."""
        held = self.of("String")
        bare = f"position({self.message}, concat('\"', {held}, '\"')) = 0"
        return f"if(length({held}) >= 19 AND match({held}, '^-?[0-9]+$') AND {bare}, {held}, NULL)"

    @property
    def digits(self) -> str:
        """The digits of a number that the engine holds as a text."""
        if self.quoted:
            return f"if(match({self.of('String')}, '{_NUMBER}'), {self.of('String')}, NULL)"
        return self.large

    @property
    def sent(self) -> str:
        """The digits in the message, where they are the number that was read as a double."""
        return f"if(toFloat64OrNull({self.token}) = {self.float64}, {self.token}, NULL)"

    @property
    def whole(self) -> str:
        """An integer of at most 2^53, or of 64 bits where it was read as such."""
        exact = f"{self.float64} = trunc({self.float64}) AND abs({self.float64}) < {_EXACT}"
        held = f"toInt64(if(ifNull({exact}, 0), assumeNotNull({self.float64}), 0))"
        from_float = f"if({exact}, {held}, NULL)"
        return f"if(isNotNull({self.int64}), {self.int64}, {from_float})"

    @property
    def is_number(self) -> str:
        kinds = "('Int64', 'UInt64', 'Float64')"
        return f"(dynamicType({self.dynamic}) IN {kinds} OR isNotNull({self.digits}))"


def typed(kind: ColumnType, value: Value) -> str:
    """The value as Nullable(``kind``); NULL for a misfit, and where there is none."""
    return _rule(kind).typed(kind, value)


def reason(kind: ColumnType, value: Value) -> str:
    """Why a value that is there does not fit; a string, meaningless where it does."""
    return _rule(kind).reason(kind, value)


# --- Numbers ------------------------------------------------------------------------------------


def _cast(expression: str, kind: ColumnType) -> str:
    return f"accurateCastOrNull({expression}, {text(str(kind))})"


def _integer(kind: ColumnType, value: Value) -> str:
    sent = f"if(match({value.sent}, '^-?[0-9]+$'), {_cast(value.sent, kind)}, NULL)"
    whole = f"if(abs({value.float64}) < {_EXACT}, {_cast(value.float64, kind)}, {sent})"
    digits = f"if(match({value.digits}, '^-?[0-9]+$'), {_cast(value.digits, kind)}, NULL)"
    rest = f"coalesce({_cast(value.uint64, kind)}, {whole}, {digits})"
    return f"if(isNotNull({value.int64}), {_cast(value.int64, kind)}, {rest})"


def _integer_reason(kind: ColumnType, value: Value) -> str:
    broken = f"{value.float64} != trunc({value.float64})"
    marked = f"match({value.digits}, '[.eE]')"
    return (
        f"multiIf(ifNull({broken}, 0) OR ifNull({marked}, 0), 'not_exact', "
        f"{value.is_number}, 'out_of_range', 'wrong_type')"
    )


def _float(kind: ColumnType, value: Value) -> str:
    rest = (
        f"coalesce(toFloat64({value.int64}), toFloat64({value.uint64}), "
        f"toFloat64OrNull({value.digits}))"
    )
    wide = f"if(isNotNull({value.float64}), {value.float64}, {rest})"
    if kind.name == "Float32":
        return f"if(abs({wide}) <= {_MAX_FLOAT32}, toFloat32({wide}), NULL)"
    return f"if(isFinite({wide}), {wide}, NULL)"


def _float_reason(kind: ColumnType, value: Value) -> str:
    return f"if({value.is_number}, 'out_of_range', 'wrong_type')"


def _decimal_digits(value: Value) -> str:
    """Digits as they were sent: those of the message where they are the number that was read."""
    floats = f"{value.sent}, toString({value.float64})"
    read = f"coalesce({floats}, toString({value.uint64}), {value.digits})"
    return f"if(isNotNull({value.int64}), toString({value.int64}), {read})"


def _decimal_scale(digits: str) -> str:
    behind = rf"length(extract({digits}, '\\.([0-9]*?)0*([eE].*)?$'))"
    exponent = rf"toInt32OrZero(extract({digits}, '[eE][+]?(-?[0-9]+)$'))"
    return f"({behind} - {exponent})"


def _decimal(kind: ColumnType, value: Value) -> str:
    digits, scale = _decimal_digits(value), kind.args[1]
    slow = f"if({_decimal_scale(digits)} <= {scale}, {_cast(digits, kind)}, NULL)"
    read = f"if(isNotNull({value.int64}), {_cast(value.int64, kind)}, {slow})"
    # The engine checks what an Int32 can hold, say, not the nine digits of a Decimal(9, …).
    before_point = f"length(extract(toString({read}), '^-?0*([0-9]*)'))"
    return f"if({before_point} <= {int(str(kind.args[0])) - int(str(scale))}, {read}, NULL)"


def _decimal_reason(kind: ColumnType, value: Value) -> str:
    excess = f"{_decimal_scale(_decimal_digits(value))} > {kind.args[1]}"
    return (
        f"multiIf(NOT {value.is_number}, 'wrong_type', ifNull({excess}, 0), 'not_exact', "
        "'out_of_range')"
    )


# --- Texts --------------------------------------------------------------------------------------


def _bool(kind: ColumnType, value: Value) -> str:
    return value.of("Bool")


def _string(kind: ColumnType, value: Value) -> str:
    return value.text


def _fixed(kind: ColumnType, value: Value) -> str:
    good = f"ifNull(length({value.text}) = {kind.number}, 0)"
    safe = f"toFixedString(if({good}, assumeNotNull({value.text}), ''), {kind.number})"
    return f"if({good}, {safe}, NULL)"


def _enum(kind: ColumnType, value: Value) -> str:
    allowed = ", ".join(text(name) for name in kind.names)
    good = f"ifNull({value.text} IN ({allowed}), 0)"
    safe = (
        f"CAST(if({good}, assumeNotNull({value.text}), {text(kind.names[0])}), {text(str(kind))})"
    )
    return f"if({good}, {safe}, NULL)"


def _uuid(kind: ColumnType, value: Value) -> str:
    return f"if(length({value.text}) = 36, toUUIDOrNull({value.text}), NULL)"


def _ipv4(kind: ColumnType, value: Value) -> str:
    read = f"toIPv4OrNull({value.text})"
    return f"if(toString({read}) = {value.text}, {read}, NULL)"


def _ipv6(kind: ColumnType, value: Value) -> str:
    return f"if(position({value.text}, ':') > 0, toIPv6OrNull({value.text}), NULL)"


def _text_reason(kind: ColumnType, value: Value) -> str:
    return f"if(isNotNull({value.text}), 'invalid_value', 'wrong_type')"


def _wrong_type(kind: ColumnType, value: Value) -> str:
    return "'wrong_type'"


# --- Dates and times ----------------------------------------------------------------------------


def _date(kind: ColumnType, value: Value) -> str:
    read = f"toDate32OrNull({value.text})"
    good = f"length({value.text}) = 10 AND toString({read}) = {value.text}"
    if kind.name == "Date32":
        return f"if({good}, {read}, NULL)"
    good += f" AND {read} BETWEEN toDate32('1970-01-01') AND toDate32('2149-06-06')"
    return f"if({good}, toDate({read}), NULL)"


def _zone(kind: ColumnType) -> str:
    zones = [str(one) for one in kind.args if isinstance(one, str)]
    return text(zones[0] if zones else "UTC")


def _digits_of(kind: ColumnType) -> int:
    return kind.number if kind.name == "DateTime64" else 0


def _years(kind: ColumnType) -> str:
    if kind.name == "DateTime":
        return "(19[67][0-9]|19[89][0-9]|20[0-9]{2}|210[0-6])"
    last = "2[01][0-9]{2}|22[0-5][0-9]|226[01]" if kind.number == 9 else "2[0-2][0-9]{2}"
    return f"(19[0-9]{{2}}|{last})"


def _time_form(kind: ColumnType) -> str:
    digits = _digits_of(kind)
    fraction = rf"(\\.[0-9]{{0,{digits}}}0*)?"
    seconds = rf"(:[0-5][0-9]{fraction})?"
    return rf"^{_years(kind)}-[0-9]{{2}}-[0-9]{{2}}[T ]{_CLOCK}{seconds}{_OFFSET}$"


def _time(kind: ColumnType, value: Value) -> str:
    zone, digits = _zone(kind), _digits_of(kind)
    written = f"parseDateTime64BestEffortOrNull({value.text}, {digits}, {zone})"
    from_text = f"if(match({value.text}, '{_time_form(kind)}'), {written}, NULL)"
    read = f"if(isNotNull({value.of('String')}), {from_text}, {_epoch(kind, value)})"
    if kind.name == "DateTime64":
        return read
    seconds = f"toUnixTimestamp64Milli(CAST({read}, 'Nullable(DateTime64(3))'))"
    return f"if({seconds} BETWEEN 0 AND {_LATEST_UINT32_MS}, toDateTime({read}, {zone}), NULL)"


def _epoch(kind: ColumnType, value: Value) -> str:
    """A time from a number, or from a text that the engine was let to guess a date in."""
    zone, digits = _zone(kind), _digits_of(kind)
    number = value.whole
    scaled = f"if(abs({number}) < 100000000000, {number} * 1000, {number})"
    latest = _LATEST_NS_MS if digits == 9 else _LATEST_MS
    whole = "" if digits >= 3 else f" AND {scaled} % {10 ** (3 - digits)} = 0"
    exact = f"{scaled} BETWEEN {_EARLIEST_MS} AND {latest}{whole}"
    held = f"fromUnixTimestamp64Milli(ifNull(if({exact}, {scaled}, 0), 0), {zone})"
    from_integer = f"if({exact}, toDateTime64({held}, {digits}, {zone}), NULL)"
    broken = f"toString({value.float64})"
    form = rf"^-?[0-9]{{1,11}}(\\.[0-9]{{0,{min(digits, 6)}}})?$"
    edge = f"{value.float64} BETWEEN {_EARLIEST_MS // 1000} AND {latest // 1000}"
    parts = f"toDecimal128OrNull({broken}, {digits})"
    from_float = (
        f"if(match({broken}, '{form}') AND {edge}, toDateTime64({parts}, {digits}, {zone}), NULL)"
    )
    written = f"parseDateTime64BestEffortOrNull({value.text}, {digits}, {zone})"
    from_guess = f"if(match({value.text}, '{_time_form(kind)}'), {written}, NULL)"
    return f"coalesce({from_integer}, {from_float}, {from_guess})"


def _date_reason(kind: ColumnType, value: Value) -> str:
    read = f"toDate32OrNull({value.text})"
    good = f"ifNull(toString({read}) = {value.text}, 0)"
    return f"multiIf(isNull({value.text}), 'wrong_type', {good}, 'out_of_range', 'invalid_value')"


def _time_reason(kind: ColumnType, value: Value) -> str:
    digits = _digits_of(kind)
    broken = f"{value.float64} != trunc({value.float64})"
    real = f"isNotNull(parseDateTime64BestEffortOrNull({value.text}, 9, 'UTC'))"
    well = f"ifNull(match({value.text}, '{_TIME}') AND {real}, 0)"
    finer = rf"ifNull(match({value.text}, '\\.[0-9]{{{digits}}}[0-9]*[1-9]'), 0)"
    return (
        f"multiIf(ifNull({broken}, 0), 'not_exact', {value.is_number}, 'out_of_range', "
        f"isNull({value.text}), 'wrong_type', NOT {well}, 'invalid_value', "
        f"{finer}, 'not_exact', 'out_of_range')"
    )


# --- Which rule for which type ------------------------------------------------------------------

Make = Callable[[ColumnType, Value], str]


@dataclass(frozen=True, slots=True)
class _Rule:
    typed: Make
    reason: Make


_RULES = {
    **dict.fromkeys(INTEGERS, _Rule(_integer, _integer_reason)),
    **dict.fromkeys(FLOATS, _Rule(_float, _float_reason)),
    "Decimal": _Rule(_decimal, _decimal_reason),
    "Bool": _Rule(_bool, _wrong_type),
    "String": _Rule(_string, _wrong_type),
    "FixedString": _Rule(_fixed, _text_reason),
    "Enum8": _Rule(_enum, _text_reason),
    "Enum16": _Rule(_enum, _text_reason),
    "UUID": _Rule(_uuid, _text_reason),
    "IPv4": _Rule(_ipv4, _text_reason),
    "IPv6": _Rule(_ipv6, _text_reason),
    "Date": _Rule(_date, _date_reason),
    "Date32": _Rule(_date, _date_reason),
    "DateTime": _Rule(_time, _time_reason),
    "DateTime64": _Rule(_time, _time_reason),
}


def _rule(kind: ColumnType) -> _Rule:
    return _RULES[kind.name]
