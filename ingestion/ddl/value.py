"""SQL that finds the kind of a JSON value, and exactly what was written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ingestion.ddl import marked
from tenants.warehouse.quoting import string

#: A column of the SELECT: whether the message may have a number that a double can't hold.
INEXACT = "_inexact"
#: Replaces the name of a flag if no JSON is ever marked.
NEVER = "0"
_NUMBER = string(r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$")
#: Kinds of JSON values that get a column, because many expressions use them.
_NAMED = ("Int64", "UInt64", "Float64", "String")
#: Digits of zero.
ZERO = string("^-?[0.]+([eE]|$)")


@dataclass(frozen=True, slots=True)
class Value:
    """Expressions of one JSON value; each is NULL if the value is of another kind.

    ``text``: a string. ``held``: digits of a number that the engine holds as a string. ``digits``:
    the digits that were sent, of any number but an Int64. ``is_exact``: whether a double holds all
    that was sent, so that its digits don't matter; 0 or 1. ``scale``: the decimal places that it
    needs; below 0 if it ends in zeros. ``names``: columns with the value, by kind.
    """

    dynamic: str
    text: str
    held: str
    digits: str
    scale: str
    is_exact: str
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def int64(self) -> str:
        return self._of("Int64")

    @property
    def uint64(self) -> str:
        return self._of("UInt64")

    @property
    def float64(self) -> str:
        return self._of("Float64")

    @property
    def boolean(self) -> str:
        return self._of("Bool")

    @property
    def is_number(self) -> str:
        return f"(isNotNull({self.int64}) OR isNotNull({self.digits}))"

    def _of(self, kind: str) -> str:
        return self.names.get(kind) or _of(self.dynamic, kind)


@dataclass(frozen=True, slots=True)
class ColumnValue:
    """The value at a path of the message ``raw``. ``quoted``: a number may be in quotes.

    ``found`` is the value in the parsed message. ``opening`` and ``steps`` name all expressions,
    one SELECT inside the other, because the engine takes time for every word of a SELECT. The
    engine computes what branches share for each row. So slow functions get an empty text for rows
    that don't need them.
    """

    found: str
    keys: tuple[str, ...]
    index: int
    quoted: bool

    @property
    def value(self) -> Value:
        return Value(
            self._dynamic,
            text=self._name("text"),
            held=self._name("held"),
            digits=self._name("digits"),
            scale=self._name("scale"),
            is_exact=f"NOT {INEXACT}",
            names={kind: self._name(kind) for kind in _NAMED},
        )

    @property
    def opening(self) -> dict[str, str]:
        """Expressions by name, of the innermost SELECT."""
        kinds = {self._name(kind): _of(self._dynamic, kind) for kind in _NAMED}
        return {self._dynamic: self.found, **kinds}

    @property
    def steps(self) -> tuple[dict[str, str], ...]:
        """Expressions by name, one mapping for each further SELECT."""
        found, double = self._name("String"), self._name("Float64")
        only, again, big = (self._name(one) for one in ("only", "again", "big"))
        held, digits = self._name("held"), self._name("digits")
        is_unsure = f"{INEXACT} AND isNotNull({double})"
        number = f"if(match({found}, {_NUMBER}), {found}, NULL)"
        exact = f"if(match({again}, {ZERO}), '0', {again})"
        return (
            {only: self._after_key(f"{is_unsure} AND NOT position(raw, {string(chr(92))})")},
            {
                again: f"if(length({only}) = 1, {only}[1], "
                f"substring({self._marked(f'{is_unsure} AND length({only}) NOT IN (1)')}, 2))",
                big: self._big(found),
            },
            {self._name("text"): self._text(found, big), held: number if self.quoted else big},
            {digits: _digits(double, self._name("UInt64"), INEXACT, exact, held)},
            {self._name("scale"): _scale(digits)},
        )

    @property
    def _dynamic(self) -> str:
        return self._name("dynamic")

    def _name(self, part: str) -> str:
        return f"_{part}{self.index}"

    def _after_key(self, is_needed: str) -> str:
        """The numbers after this key. Without escapes, no text can hold what looks like one."""
        pattern = rf'"{re.escape(self.keys[-1])}"\s*:\s*({marked.NUMBER})'
        return f"extractAll({_raw_if(is_needed)}, {string(pattern)})"

    def _marked(self, is_needed: str) -> str:
        """The value at this path in marked JSON."""
        message = marked.marked(_raw_if(is_needed))
        return f"JSONExtractString({message}, {marked.path(self.keys)})"

    def _big(self, found: str) -> str:
        """The digits of an integer beyond 64 bits."""
        looks_big = f"length({found}) >= 20 AND isNotNull(toInt256OrNull({found}))"
        return f"if({looks_big} AND NOT endsWith({self._marked(looks_big)}, '#'), {found}, NULL)"

    def _text(self, found: str, big: str) -> str:
        """A JSON string. If the engine took it for a date, it is read again from the message."""
        path = ", ".join(string(key) for key in self.keys)
        is_date = f"startsWith(dynamicType({self._dynamic}), 'Date')"
        guessed = f"if({is_date}, JSONExtractString(raw, {path}), NULL)"
        return f"multiIf(isNotNull({big}), NULL, isNotNull({found}), {found}, {guessed})"


def of_element(raw: str, is_marked: str, *, quoted: bool) -> Value:
    """The value of the JSON text ``raw``, which is marked JSON if ``is_marked`` (or NEVER)."""
    dynamic = f"JSONExtract({raw}, 'Dynamic')"
    found = _of(dynamic, "String")
    number, written = "NULL", found
    if is_marked != NEVER:
        number = f"if({is_marked}, {marked.digits_of(found)}, NULL)"
        written = f"if({is_marked}, {marked.text_of(found)}, {found})"
    in_quotes = f"if(match({written}, {_NUMBER}), {written}, NULL)"
    held = f"coalesce({number}, {in_quotes})" if quoted else number
    digits = _digits(_of(dynamic, "Float64"), _of(dynamic, "UInt64"), "0", "''", held)
    return Value(dynamic, written, held, digits, _scale(digits), is_exact="1")


def _digits(double: str, unsigned: str, is_inexact: str, exact: str, held: str) -> str:
    """Flat, because the engine computes again whatever nested branches share."""
    return (
        f"multiIf(isNotNull({double}) AND {is_inexact}, {exact}, isNotNull({double}), "
        f"toString({double}), isNotNull({unsigned}), toString({unsigned}), {held})"
    )


def _raw_if(is_needed: str) -> str:
    return f"if(ifNull({is_needed}, 0), raw, '')"


def _scale(digits: str) -> str:
    behind = rf"length(extract({digits}, '\\.([0-9]*?)0*([eE].*)?$'))"
    zeros = rf"length(extract({digits}, '^-?[0-9]*?(0*)(\\.0*)?([eE].*)?$'))"
    exponent = rf"toFloat64OrZero(extract({digits}, '[eE][+]?(-?[0-9]+)$'))"
    places = f"{behind} - {zeros} - {exponent}"
    return f"multiIf(isNull({digits}), NULL, match({digits}, {ZERO}), 0, {places})"


def _of(dynamic: str, kind: str) -> str:
    return f"dynamicElement({dynamic}, '{kind}')"
