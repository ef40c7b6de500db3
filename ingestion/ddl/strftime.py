"""Reads a format of dates and times such as ``%d.%m.%Y %H:%M``, and writes SQL that applies it.

A text of the format is rewritten as ISO 8601, which ``times`` then judges as it does any other. So
a day that does not exist, or a digit too many, is refused there, and nothing is rounded or wraps.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from ingestion.ddl.types import UnknownType, zone_named
from tenants.warehouse.quoting import string

_MONTHS = "January February March April May June July August September October November December"
_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"
_NAMES = {
    "b": [name[:3] for name in _MONTHS.split()],
    "B": _MONTHS.split(),
    "a": [name[:3] for name in _DAYS.split()],
    "A": _DAYS.split(),
}
#: Directives of one or two digits: the two, and the one that may stand alone.
_DIGITS = {
    "m": ("0[1-9]|1[0-2]", "[1-9]"),
    "d": ("0[1-9]|[12][0-9]|3[01]", "[1-9]"),
    "e": (" [1-9]|[12][0-9]|3[01]", "[1-9]"),
    "H": ("[01][0-9]|2[0-3]", "[0-9]"),
    "I": ("0[1-9]|1[0-2]", "[1-9]"),
    "M": ("[0-5][0-9]", "[0-9]"),
    "S": ("[0-5][0-9]", "[0-9]"),
}
_OTHERS = {
    "Y": "[0-9]{4}",
    "y": "[0-9]{2}",
    "f": "[0-9]{1,9}",
    "p": "(?i:AM|PM)",
    "z": "Z|[+-](?:[01][0-9]|2[0-3]):?[0-5][0-9]",
}
_SHORT = {"%F": "%Y-%m-%d", "%T": "%H:%M:%S", "%R": "%H:%M"}
_OF_DIGITS = frozenset("YymdeHIMSf")
#: Directives of which a text has at most one.
_SAME = ("Yy", "mbB", "de", "HI", "M", "S", "f", "p", "z", "aA")
#: If a format has one of the first (or any, if empty), it needs one of the second.
_NEEDS = (
    ("", "Yy", "the year: write %Y, or %y for two digits"),
    ("", "mbB", "the month: write %m, or %b or %B for its name"),
    ("", "de", "the day: write %d"),
    ("MpSfz", "HI", "the hour: write %H, or %I with %p"),
    ("Sfz", "M", "the minute: write %M"),
    ("f", "S", "the second, which %f is a part of: write %S"),
    ("I", "p", "AM or PM, without which %I has two meanings: write %p, or %H"),
)
#: A time zone at the end, as RFC 9557 writes it.
_ZONE = re.compile(r"\s*\[([A-Za-z][A-Za-z0-9_+/-]*)\]\Z")
_PART = re.compile(r"%(.)|([^%]+)", re.DOTALL)
KNOWN = "%Y, %y, %m, %b, %B, %d, %e, %H, %I, %p, %M, %S, %f, %z, %a, %A, %F, %T, %R and %%"


class UnknownFormat(ValueError):
    """A column can't have this format; the message says why and what to write."""


@dataclass(frozen=True, slots=True)
class Strftime:
    """``directives``: their letters, in order; ``regex`` has a group for each.

    ``zone``: where a time without an offset is; empty for the zone of the column.
    """

    directives: str
    regex: str
    zone: str

    @property
    def has_time(self) -> bool:
        return not set("HIMSfpz").isdisjoint(self.directives)

    def iso(self, text: str) -> str:
        """The text in ISO 8601, which fits nothing if ``text`` is not of the format."""
        groups = f"extractGroups({text}, {string(self.regex)})"
        return f"arrayMap(g -> {self._joined()}, [{groups}])[1]"

    def _joined(self) -> str:
        """The groups ``g`` as ISO 8601; if there are none, the dashes alone."""
        parts = [self._year(), "'-'", self._month(), "'-'", self._day()]
        if self.has_time:
            parts += ["' '", self._hour(), "':'", self._two_digits("M"), "':'"]
            parts.append(self._two_digits("S"))
        if "f" in self.directives:
            parts += ["'.'", self._group("f")]
        if "z" in self.directives:
            parts.append(self._group("z"))
        joined = f"concat({', '.join(parts)})"
        weekday = self._one_of("aA")
        if not weekday:
            return joined
        day = f"toDate32OrNull(concat({', '.join(parts[:5])}))"
        length = 3 if weekday == "a" else 9
        real = f"lower(substring(dateName('weekday', {day}), 1, {length}))"
        return f"if(ifNull({real} = lower({self._group(weekday)}), 0), {joined}, '')"

    def _one_of(self, letters: str) -> str:
        return next((one for one in self.directives if one in letters), "")

    def _group(self, directive: str) -> str:
        return f"g[{self.directives.index(directive) + 1}]"

    def _year(self) -> str:
        if "Y" in self.directives:
            return self._group("Y")
        year = self._group("y")
        return f"if({year} >= '69', '19', '20'), {year}"

    def _month(self) -> str:
        name = self._one_of("bB")
        if not name:
            return self._two_digits("m")
        names = ", ".join(string(one.lower()) for one in _NAMES[name])
        numbers = ", ".join(f"'{number:02d}'" for number in range(1, 13))
        return f"transform(lower({self._group(name)}), [{names}], [{numbers}], '')"

    def _day(self) -> str:
        return (
            _padded(f"trimLeft({self._group('e')})")
            if "e" in self.directives
            else (self._two_digits("d"))
        )

    def _hour(self) -> str:
        if "I" not in self.directives:
            return self._two_digits("H")
        half = f"if(upper({self._group('p')}) = 'PM', 12, 0)"
        return _padded(f"toString(toUInt8OrZero({self._group('I')}) % 12 + {half})")

    def _two_digits(self, directive: str) -> str:
        return _padded(self._group(directive)) if directive in self.directives else "'00'"


def _padded(text: str) -> str:
    return f"leftPad({text}, 2, '0')"


@lru_cache(maxsize=10_000)
def parse(text: str) -> Strftime:
    """Parse a format; raises UnknownFormat."""
    zone = _ZONE.search(text)
    if not text.isprintable():
        msg = f"{text!r} has a character that can't be printed. Remove it."
        raise UnknownFormat(msg)
    parts = _parts(text[: zone.start()] if zone else text)
    directives = "".join(one[1] for one in parts if one[0] == "%" and one != "%%")
    _check(text, directives)
    if zone and "z" in directives:
        msg = f"{text!r}: %z says the offset of each time. Remove {zone[0].strip()}."
        raise UnknownFormat(msg)
    return Strftime(directives, _regex(parts), _zone(zone[1]) if zone else "")


def _zone(name: str) -> str:
    try:
        return zone_named(name)
    except UnknownType as error:
        raise UnknownFormat(str(error)) from None


def _parts(text: str) -> list[str]:
    """Directives and the texts between them."""
    for short, long in _SHORT.items():
        text = re.sub(rf"(?<!%)((?:%%)*){short}", rf"\g<1>{long}", text)
    parts = [match[0] for match in _PART.finditer(text)]
    if "".join(parts) != text:
        msg = f"{text!r} ends with a %. Write %% for the sign itself."
        raise UnknownFormat(msg)
    for one in parts:
        is_known = one[1:] in {*_NAMES, *_DIGITS, *_OTHERS, "%"}
        if one[0] == "%" and not is_known:
            hint = " %d, %m and %H take one digit, too." if one in {"%-", "%_"} else ""
            msg = f"{one} is not known. A format may have {KNOWN}.{hint}"
            raise UnknownFormat(msg)
    return parts


def _check(text: str, directives: str) -> None:
    for letters in _SAME:
        same = [f"%{one}" for one in directives if one in letters]
        if len(same) > 1:
            msg = f"{text!r} has {' and '.join(same)}, which say the same. Leave one of them."
            raise UnknownFormat(msg)
    for with_one_of, letters, what in _NEEDS:
        is_concerned = not with_one_of or not set(with_one_of).isdisjoint(directives)
        if is_concerned and set(letters).isdisjoint(directives):
            msg = f"{text!r} lacks {what}."
            raise UnknownFormat(msg)
    if {"H", "p"} <= set(directives):
        msg = f"{text!r} has %p beside %H. Write %I for an hour up to 12, or remove %p."
        raise UnknownFormat(msg)


def _regex(parts: list[str]) -> str:
    """A group for each directive. Beside other digits, a number has all of its digits."""
    crowded = set()
    for place, (left, right) in enumerate(pairwise(parts)):
        if _ends_in_digit(left) and _starts_with_digit(right):
            crowded |= {place, place + 1}
    groups = (_group(one, alone=place not in crowded) for place, one in enumerate(parts))
    return f"^{''.join(groups)}$"


def _ends_in_digit(part: str) -> bool:
    return part[1] in _OF_DIGITS if part[0] == "%" else part[-1].isdigit()


def _starts_with_digit(part: str) -> bool:
    return part[1] in _OF_DIGITS if part[0] == "%" else part[0].isdigit()


def _group(part: str, *, alone: bool) -> str:
    letter = part[1:]
    if part[0] != "%" or letter == "%":
        return re.escape("%" if part == "%%" else part)
    if letter in _NAMES:
        return f"((?i:{'|'.join(_NAMES[letter])}))"
    if letter in _DIGITS:
        two, one = _DIGITS[letter]
        return f"({two}|{one})" if alone else f"({two})"
    return f"({_OTHERS[letter]})"
