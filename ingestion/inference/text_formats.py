"""What texts hold: times, identifiers, addresses, numbers and booleans."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import product

from ingestion.inference.type_candidate import TypeCandidate

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z")
_TIME = re.compile(
    r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2}(?:\.(\d{1,9}))?)?(?:Z|[+-]\d{2}:?\d{2})?\Z"
)
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\Z")
#: Without needless zeros, which would be lost: 007 is a name.
INTEGER = re.compile(r"(?:0|-?[1-9][0-9]{0,17})\Z", re.ASCII)
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.([0-9]{1,18}))?\Z", re.ASCII)
#: RFC 8259, section 6: what a field of CSV must be to become a number.
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?\Z", re.ASCII)
#: The first digits of a year that a Date has: it begins in 1970.
_FIRST_OF_DATE = "1970"
_DATES = (
    *("%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y.%m.%d"),
    *("%b %d %Y", "%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%d-%b-%Y", "%d %B %Y", "%a, %d %b %Y"),
    *("%m/%d/%y", "%d/%m/%y", "%d.%m.%y"),
)
_CLOCKS = ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%I:%M %p", "%I:%M:%S %p")
_TIMES = (
    *(f"{date}{gap}{clock}" for date, clock in product(_DATES, _CLOCKS) for gap in (" ", "T")),
    *("%Y/%m/%d %H:%M:%S %z", "%d/%b/%Y:%H:%M:%S %z", "%a, %d %b %Y %H:%M:%S %z"),
    *("%a %b %d %H:%M:%S %z %Y", "%a %b %d %H:%M:%S %Y"),
)
_WORDS = ("true/false", "True/False", "TRUE/FALSE", "yes/no", "Yes/No", "Y/N", "on/off")


def candidates(texts: Sequence[str], *, unquoted: bool) -> Iterator[TypeCandidate]:
    """Types that all texts suggest, the closest first. ``unquoted``: they are fields of CSV."""
    if _all(texts, _UUID.match):
        yield TypeCandidate("UUID")
    if _all(texts, _is(ipaddress.IPv4Address)):
        yield TypeCandidate("IPv4")
    elif _all(texts, _is(ipaddress.IPv6Address)):
        yield TypeCandidate("IPv6")
    yield from _times(texts)
    yield from _numbers(texts, unquoted=unquoted)
    for words in _WORDS:
        yes, no = words.split("/")
        # A single word is a boolean only if it says so.
        if {yes, no} == set(texts) or (no.lower() == "false" and set(texts) <= {yes, no}):
            yield TypeCandidate("Bool", format="" if unquoted and words == "true/false" else words)


def ambiguity(texts: Sequence[str]) -> str:
    """Why texts that look like dates stay texts; empty if they can be read in one way at most."""
    able = [form for form in (*_DATES, *_TIMES) if _all(texts, _read(form))]
    return "" if len(able) < 2 else f"{' and '.join(able[:2])} both fit. Set the format."


def _times(texts: Sequence[str]) -> Iterator[TypeCandidate]:
    if _all(texts, _DATE.match):
        yield TypeCandidate("Date" if min(texts) >= _FIRST_OF_DATE else "Date32")
    matches = [_TIME.match(text) for text in texts]
    if all(matches):
        places = max(len(match[1] or "") for match in matches if match)
        yield TypeCandidate(_time_type(places))
    able = [form for form in (*_DATES, *_TIMES) if _all(texts, _read(form))]
    # Of 03/04/2026 nobody knows the month: it stays a text, since a guess may be wrong silently.
    if len(able) == 1:
        has_time = able[0] not in _DATES
        longest = 6 if "%f" in able[0] else 3
        yield TypeCandidate(f"DateTime64({longest}, 'UTC')" if has_time else "Date32", able[0])


def _time_type(places: int) -> str:
    digits = next(digits for digits in (3, 6, 9) if places <= digits)
    return f"DateTime64({digits}, 'UTC')"


def _numbers(texts: Sequence[str], *, unquoted: bool) -> Iterator[TypeCandidate]:
    if _all(texts, INTEGER.match):
        yield TypeCandidate("Int64", quoted_numbers=not unquoted)
    elif unquoted and _all(texts, _NUMBER.match) and not any(map(_has_zero, texts)):
        yield TypeCandidate("Float64")
    elif _all(texts, _DECIMAL.match):
        scale = max(len(text.partition(".")[2]) for text in texts)
        yield TypeCandidate(f"Decimal(38, {max(scale, 4)})", quoted_numbers=True)


def _has_zero(text: str) -> bool:
    return bool(re.match(r"-?0[0-9]", text))


def _all(texts: Iterable[str], rule: Callable[[str], object]) -> bool:
    return all(rule(text) for text in texts)


def _is(make: Callable[[str], object]) -> Callable[[str], bool]:
    def rule(text: str) -> bool:
        try:
            make(text)
        except ValueError:
            return False
        return "/" not in text and "%" not in text

    return rule


def _read(form: str) -> Callable[[str], bool]:
    def rule(text: str) -> bool:
        try:
            datetime.strptime(text, form)  # noqa: DTZ007 - only whether it can be read
        except ValueError:
            return False
        return True

    return rule
