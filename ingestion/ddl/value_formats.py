"""Formats of columns: how a producer writes a value, where the type alone does not say it.

A format has rules of its own, in place of those in ``scalar``. What is not written in the format
does not fit, even if it would fit the type.
"""

from __future__ import annotations

from dataclasses import replace

from ingestion.ddl import epochs, strftime, times
from ingestion.ddl.strftime import UnknownFormat
from ingestion.ddl.types import CONTAINERS, ColumnType
from ingestion.ddl.value import Value
from tenants.warehouse.quoting import string

JSON, BASE64 = "json", "base64"
_DATES = frozenset({"Date", "Date32"})
_TIMES = frozenset({"DateTime", "DateTime64"})
_BYTES = frozenset({"String", "FixedString"})
_BASE64 = string("^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$")


# --- Which format for which type ----------------------------------------------------------------


def problem_of(kind: ColumnType, form: str) -> str:
    """Why a column of that type can't have the format, and what it can have; empty if it can."""
    if form == JSON:
        wrong = f"{JSON} is for Array, Map and Tuple, which are read from a text of JSON."
        return "" if kind.name in CONTAINERS else wrong
    while kind.name in {"Array", "Map"}:
        kind = kind.inner
    name = kind.bare.name
    try:
        if name in _DATES | _TIMES:
            return _problem_of_time(name, form)
    except UnknownFormat as error:
        return str(error)
    if name == "Bool":
        words = form.split("/")
        is_good = len(words) == 2 and len({*words, ""}) == 3
        return "" if is_good else f"{form!r} is not two texts, such as yes/no or 1/0."
    if name in _BYTES:
        return "" if form == BASE64 else f"A {name} has no format but {BASE64}."
    hint = " Set quoted numbers to take numbers in quotes." if "Int" in name else ""
    return f"A column of {name} has no format.{hint} Leave it empty."


def _problem_of_time(name: str, form: str) -> str:
    if form in epochs.UNITS:
        wrong = f"{form} is the unit of a number, and a {name} is read from a text: use DateTime64."
        return wrong if name in _DATES else ""
    if "%" not in form:
        units = "" if name in _DATES else f", or the unit of a number: {', '.join(epochs.UNITS)}"
        return f"{form!r} is no format of a {name}. Write one such as %Y/%m/%d{units}."
    read = strftime.parse(form)
    if name in _DATES and (read.has_time or read.zone):
        return f"{form!r} has a time, which a {name} would lose. Use DateTime or DateTime64."
    return ""


def is_of_texts(form: str) -> bool:
    """Whether only a text can have this format."""
    return bool(form) and form not in epochs.UNITS


# --- The rules ----------------------------------------------------------------------------------


def typed(kind: ColumnType, value: Value, form: str) -> str:
    """The value as Nullable(``kind``); NULL for a misfit or a missing value."""
    if form in epochs.UNITS:
        return epochs.typed(kind, value, form)
    return usual(kind, value, form)


def usual(kind: ColumnType, value: Value, form: str) -> str:
    """The same where the value has its usual form. ``value``: of ``quick``, too."""
    if form in epochs.UNITS:
        return epochs.usual(kind, value, form)
    if kind.name == "Bool":
        return _boolean(value, form)
    if kind.name in _BYTES:
        return _bytes(kind, value)
    read = strftime.parse(form)
    rule = times.date if kind.name in _DATES else times.written
    local = _in_zone(kind, read.zone)
    made = f"arrayMap(t -> {rule(local, _text('t'))}, [{_iso(value, read)}])[1]"
    return made if local == kind else f"CAST({made}, {string(f'Nullable({kind})')})"


def reason(kind: ColumnType, value: Value, form: str) -> str:
    """Why an existing value does not fit; a string, meaningless if the value fits."""
    if form in epochs.UNITS:
        return epochs.reason(kind, value, form)
    if kind.name == "Bool" or kind.name in _BYTES:
        return f"if(isNotNull({value.text}), 'invalid_value', 'wrong_type')"
    read = strftime.parse(form)
    rule = times.date_reason if kind.name in _DATES else times.written_reason
    local = _in_zone(kind, read.zone)
    return f"arrayMap(t -> {rule(local, _text('t'))}, [{_iso(value, read)}])[1]"


def _iso(value: Value, read: strftime.Strftime) -> str:
    return f"if(isNull({value.text}), NULL, {read.iso(value.text)})"


def _text(name: str) -> Value:
    """A value that is known to be a text, or NULL."""
    return Value("NULL", text=name, held="NULL", digits="NULL", scale="NULL", is_exact="1")


def _in_zone(kind: ColumnType, zone: str) -> ColumnType:
    if not zone:
        return kind
    return replace(kind, args=(*(one for one in kind.args if isinstance(one, int)), zone))


def _boolean(value: Value, form: str) -> str:
    """From the two texts, and from JSON's own true and false."""
    yes, no = map(string, form.split("/"))
    read = f"transform({value.text}, [{yes}, {no}], [true, false], NULL)"
    return f"if(isNotNull({value.boolean}), {value.boolean}, {read})"


def _bytes(kind: ColumnType, value: Value) -> str:
    """From base64 with its padding (RFC 4648, section 4), whose unused bits are 0."""
    read = f"tryBase64Decode({value.text})"
    good = f"match({value.text}, {_BASE64}) AND base64Encode({read}) = {value.text}"
    if kind.name == "String":
        return f"if({good}, {read}, NULL)"
    good = f"ifNull({good} AND length({read}) = {kind.number}, 0)"
    safe = f"toFixedString(if({good}, assumeNotNull({read}), ''), {kind.number})"
    return f"if({good}, {safe}, NULL)"
