"""SQL that types dates and times.

A time without a zone is in the column's zone, or in UTC if the column has no zone. It must exist
there. A number is in seconds if its magnitude is below 100,000,000,000, otherwise in whole
milliseconds.
"""

from __future__ import annotations

from ingestion.ddl.types import ColumnType
from ingestion.ddl.value import Value
from tenants.warehouse.quoting import string

_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9]"
_OFFSET = r"(Z|[+-]([01][0-9]|2[0-3]):?[0-5][0-9])"
#: ISO 8601 in the profile of RFC 3339; seconds and offset may be missing.
_TIME = string(rf"^{_DAY}[T ]{_CLOCK}(:[0-5][0-9](\.[0-9]{{1,9}})?)?{_OFFSET}?$")
#: Seconds of 1900 to 2299, and to 2262 with nanoseconds (clickhouse.com, DateTime64).
_EARLIEST, _LATEST, _LATEST_NS = -2_208_988_800, 10_413_791_999, 9_223_372_035
_LATEST_UINT32 = 4_294_967_295
_MILLISECONDS_FROM = 100_000_000_000


def date(kind: ColumnType, value: Value) -> str:
    read = f"toDate32OrNull({value.text})"
    good = f"toString({read}) = {value.text}"
    if kind.name == "Date32":
        return f"if({good}, {read}, NULL)"
    good += f" AND {read} BETWEEN toDate32('1970-01-01') AND toDate32('2149-06-06')"
    return f"if({good}, toDate({read}), NULL)"


def moment(kind: ColumnType, value: Value) -> str:
    return f"if(match({value.text}, {_form(kind)}), {_read(kind, value)}, {_epoch(kind, value)})"


def usual(kind: ColumnType, value: Value) -> str:
    """A time from a text or a whole number, the usual forms."""
    whole = _from_integer(kind, value.int64)
    return f"if(match({value.text}, {_form(kind)}), {_read(kind, value)}, {whole})"


def written(kind: ColumnType, value: Value) -> str:
    """A time from a text alone."""
    return f"if(match({value.text}, {_form(kind)}), {_read(kind, value)}, NULL)"


def zone_of(kind: ColumnType) -> str:
    """The zone of times without an offset, quoted for SQL."""
    zones = [str(one) for one in kind.args if isinstance(one, str)]
    return string(zones[0] if zones else "UTC")


def digits_of(kind: ColumnType) -> int:
    """How many decimal places of a second the type has."""
    return kind.number if kind.name == "DateTime64" else 0


def _years(kind: ColumnType) -> str:
    if kind.name == "DateTime":
        return "(19[67][0-9]|19[89][0-9]|20[0-9]{2}|210[0-6])"
    last = "2[01][0-9]{2}|22[0-5][0-9]|226[01]" if kind.number == 9 else "2[0-2][0-9]{2}"
    return f"(19[0-9]{{2}}|{last})"


def _form(kind: ColumnType) -> str:
    fraction = rf"(\.[0-9]{{0,{digits_of(kind)}}}0*)?"
    seconds = rf"(:[0-5][0-9]{fraction})?"
    return string(rf"^{_years(kind)}-[0-9]{{2}}-[0-9]{{2}}[T ]{_CLOCK}{seconds}{_OFFSET}?$")


def _read(kind: ColumnType, value: Value) -> str:
    """A time from a text of the right form."""
    zone = zone_of(kind)
    read = f"parseDateTime64BestEffortOrNull({value.text}, {digits_of(kind)}, {zone})"
    checks = []
    if kind.name == "DateTime":
        checks.append(f"toInt64({read}) BETWEEN 0 AND {_LATEST_UINT32}")
    if zone != string("UTC"):
        checks.append(_exists(read, value))
    good = f"if({' AND '.join(checks)}, {read}, NULL)" if checks else read
    return in_kind(kind, good)


def _exists(read: str, value: Value) -> str:
    """Whether the zone has this time: the engine changes an hour that clocks skip to another."""
    local = f"replaceOne(substring({value.text}, 1, 19), 'T', ' ')"
    has_offset = f"match({value.text}, {string(_OFFSET + '$')})"
    return f"({has_offset} OR startsWith(toString({read}), {local}))"


def in_kind(kind: ColumnType, read: str) -> str:
    """The value as ``kind``, from a DateTime64 within its range."""
    return f"toDateTime({read}, {zone_of(kind)})" if kind.name == "DateTime" else read


def _epoch(kind: ColumnType, value: Value) -> str:
    """A time from a number."""
    other = _from_digits(kind, value)
    return f"if(isNotNull({value.int64}), {_from_integer(kind, value.int64)}, {other})"


def range_of(kind: ColumnType) -> tuple[int, int]:
    """The first and the last second of the type."""
    if kind.name == "DateTime":
        return 0, _LATEST_UINT32
    return _EARLIEST, _LATEST_NS if kind.number == 9 else _LATEST


def _from_integer(kind: ColumnType, number: str) -> str:
    zone, digits, (first, last) = zone_of(kind), digits_of(kind), range_of(kind)
    scaled = f"({number} * if(abs({number}) < {_MILLISECONDS_FROM}, 1000, 1))"
    whole = "" if digits >= 3 else f" AND NOT {scaled} % {10 ** (3 - digits)}"
    good = f"{scaled} BETWEEN {first * 1000} AND {last * 1000 + 999}{whole}"
    milliseconds = f"fromUnixTimestamp64Milli({or_zero(good, scaled)}, {zone})"
    return f"if({good}, {in_kind(kind, f'toDateTime64({milliseconds}, {digits}, {zone})')}, NULL)"


def or_zero(good: str, number: str) -> str:
    """The number, or 0 if it is not good: the engine would convert even a number behind a NULL."""
    return f"if(ifNull({good}, 0), assumeNotNull({number}), 0)"


def _from_digits(kind: ColumnType, value: Value) -> str:
    """A time from a number with a point, an exponent or quotes."""
    zone, digits, (first, last) = zone_of(kind), digits_of(kind), range_of(kind)
    read = f"toDecimal128OrNull({value.digits}, {digits})"
    fits = f"{value.scale} <= {digits} AND {read} BETWEEN {first} AND {last}"
    seconds = f"toDateTime64({or_zero(fits, read)}, {digits}, {zone})"
    whole = f"toInt64OrNull(toString(toDecimal128OrNull({value.digits}, 0)))"
    is_whole = f"{value.scale} <= 0 AND abs({whole}) >= {_MILLISECONDS_FROM}"
    milliseconds = _from_integer(kind, f"if({is_whole}, {whole}, NULL)")
    return f"if({fits}, {in_kind(kind, seconds)}, {milliseconds})"


def date_reason(kind: ColumnType, value: Value) -> str:
    read = f"toDate32OrNull({value.text})"
    good = f"ifNull(toString({read}) = {value.text}, 0)"
    return f"multiIf(isNull({value.text}), 'wrong_type', {good}, 'out_of_range', 'invalid_value')"


def moment_reason(kind: ColumnType, value: Value) -> str:
    is_broken = f"{value.scale} > 0"
    return (
        f"multiIf(ifNull({is_broken}, 0), 'not_exact', {value.is_number}, 'out_of_range', "
        f"{_reasons_of_text(kind, value)})"
    )


def written_reason(kind: ColumnType, value: Value) -> str:
    """Why a value is no time in a text."""
    return f"multiIf({_reasons_of_text(kind, value)})"


def _reasons_of_text(kind: ColumnType, value: Value) -> str:
    digits = digits_of(kind)
    real = f"isNotNull(parseDateTime64BestEffortOrNull({value.text}, 9, 'UTC'))"
    well = f"ifNull(match({value.text}, {_TIME}) AND {real}, 0)"
    finer = rf"ifNull(match({value.text}, '\\.[0-9]{{{digits}}}[0-9]*[1-9]'), 0)"
    local = f"parseDateTime64BestEffortOrNull({value.text}, 0, {zone_of(kind)})"
    is_skipped = f"ifNull(match({value.text}, {_form(kind)}) AND NOT {_exists(local, value)}, 0)"
    return (
        f"isNull({value.text}), 'wrong_type', NOT {well} OR {is_skipped}, 'invalid_value', "
        f"{finer}, 'not_exact', 'out_of_range'"
    )
