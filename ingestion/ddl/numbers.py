"""SQL that types numbers: integers, floats, decimals."""

from __future__ import annotations

from ingestion.ddl.types import ColumnType
from ingestion.ddl.value import Value
from tenants.warehouse.quoting import string

#: A double holds every integer below this one exactly.
_EXACT = 1 << 53
_WIDE = frozenset({"Int128", "Int256", "UInt128", "UInt256"})
_MAX_FLOAT32 = "3.4028234663852886e38"


def _cast(expression: str, kind: ColumnType) -> str:
    return f"accurateCastOrNull({expression}, {string(str(kind))})"


def integer(kind: ColumnType, value: Value) -> str:
    is_small = f"{value.is_exact} AND abs({value.float64}) < {_EXACT}"
    from_double = f"if({is_small}, {_cast(value.float64, kind)}, {_written(kind, value)})"
    rest = f"if(isNotNull({value.uint64}), {_cast(value.uint64, kind)}, {from_double})"
    return f"if(isNotNull({value.int64}), {_cast(value.int64, kind)}, {rest})"


def _written(kind: ColumnType, value: Value) -> str:
    """An integer from its digits, which may have a point or an exponent."""
    whole = f"if({value.scale} <= 0, toString(toDecimal256OrNull({value.digits}, 0)), NULL)"
    is_plain = f"match({value.digits}, '^-?[0-9]+$')"
    return f"if({is_plain}, {_read(kind, value.digits)}, {_read(kind, whole)})"


def _read(kind: ColumnType, digits: str) -> str:
    """An integer from plain digits. Beyond 64 bits the engine's cast wraps around: so compare."""
    read = _cast(digits, kind)
    if kind.name not in _WIDE:
        return read
    return f"if(toString({read}) = {digits}, {read}, NULL)"


def integer_reason(kind: ColumnType, value: Value) -> str:
    broken = f"{value.scale} > 0"
    return (
        f"multiIf(NOT {value.is_number}, 'wrong_type', ifNull({broken}, 0), 'not_exact', "
        "'out_of_range')"
    )


def floating(kind: ColumnType, value: Value) -> str:
    rest = (
        f"coalesce(toFloat64({value.int64}), toFloat64({value.uint64}), "
        f"toFloat64OrNull({value.held}))"
    )
    wide = f"if(isNotNull({value.float64}), {value.float64}, {rest})"
    if kind.name == "Float32":
        return f"if(abs({wide}) <= {_MAX_FLOAT32}, toFloat32({wide}), NULL)"
    return f"if(isFinite({wide}), {wide}, NULL)"


def floating_reason(kind: ColumnType, value: Value) -> str:
    return f"if({value.is_number}, 'out_of_range', 'wrong_type')"


def decimal(kind: ColumnType, value: Value) -> str:
    digits, places = value.digits, kind.args[1]
    fits = f"ifNull({value.scale} <= {places}, 0)"
    read = f"if({fits}, {_cast(digits, kind)}, {_cast(value.int64, kind)})"
    # The engine checks only that the integer below a Decimal holds the value (Int32, say), not
    # the number of its digits (nine of a Decimal(9, …)).
    before_point = f"length(extract(toString({read}), '^-?0*([0-9]*)'))"
    return f"if({before_point} <= {int(str(kind.args[0])) - int(str(places))}, {read}, NULL)"


def decimal_reason(kind: ColumnType, value: Value) -> str:
    excess = f"{value.scale} > {kind.args[1]}"
    return (
        f"multiIf(NOT {value.is_number}, 'wrong_type', ifNull({excess}, 0), 'not_exact', "
        "'out_of_range')"
    )
