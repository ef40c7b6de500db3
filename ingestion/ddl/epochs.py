"""SQL that types numbers as times in a unit: seconds, milliseconds, microseconds or nanoseconds."""

from __future__ import annotations

from ingestion.ddl import times
from ingestion.ddl.types import ColumnType
from ingestion.ddl.value import ZERO, Value
from tenants.warehouse.quoting import string, unquoted

#: By the unit's name, its decimal places of a second.
UNITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}


def typed(kind: ColumnType, value: Value, unit: str) -> str:
    """The time, if the column has all of its digits; NULL otherwise."""
    spare = _spare(kind, unit)
    places = max(spare, 0)
    zero, digits = f"match({value.digits}, {ZERO})", value.digits
    read = f"if({zero}, toDecimal256('0', {places}), toDecimal256OrNull({digits}, {places}))"
    # Farther than any time, and so small that nothing below exceeds 256 bits.
    fits = f"({zero} OR {value.scale} <= {spare}) AND abs({read}) < toInt256('1{'0' * 30}')"
    parts = f"toInt256({times.or_zero(fits, read)} * {10**places})"
    written = _from_ticks(kind, _shifted(parts, spare - places), fits)
    return f"if(isNotNull({value.int64}), {usual(kind, value, unit)}, {written})"


def usual(kind: ColumnType, value: Value, unit: str) -> str:
    """The time of a whole number of 64 bits, the usual form."""
    spare = _spare(kind, unit)
    good = f"isNotNull({value.int64})" + (f" AND {value.int64} % {10**-spare} = 0" * (spare < 0))
    wide = f"toInt256({times.or_zero(good, value.int64)})"
    return _from_ticks(kind, _shifted(wide, spare), good)


def reason(kind: ColumnType, value: Value, unit: str) -> str:
    """Why a value is no such time."""
    spare = _spare(kind, unit)
    finer = f"ifNull({value.scale} > {spare}, 0)"
    if spare < 0:
        finer += f" OR ifNull({value.int64} % {10**-spare} != 0, 0)"
    return f"multiIf(NOT {value.is_number}, 'wrong_type', {finer}, 'not_exact', 'out_of_range')"


def _spare(kind: ColumnType, unit: str) -> int:
    """How many decimal places of the unit the column keeps; below 0 if it is coarser."""
    return times.digits_of(kind) - UNITS[unit]


def _shifted(number: str, places: int) -> str:
    """The number times a power of ten; it has that many zeros at its end if that is below 1."""
    return f"{number} * {10**places}" if places >= 0 else f"intDiv({number}, {10**-places})"


def _from_ticks(kind: ColumnType, ticks: str, fits: str) -> str:
    """The time of so many smallest parts, if ``fits`` and it is within the range of the type."""
    digits = times.digits_of(kind)
    first, last = (bound * 10**digits for bound in times.range_of(kind))
    good = f"ifNull({fits}, 0) AND {ticks} BETWEEN {first} AND {last + 10**digits - 1}"
    zone = unquoted(times.zone_of(kind))
    wide = string(str(ColumnType("DateTime64", (digits, zone))))
    made = f"reinterpret(toInt64(if({good}, {ticks}, 0)), {wide})"
    return f"if({good}, {times.in_kind(kind, made)}, NULL)"
