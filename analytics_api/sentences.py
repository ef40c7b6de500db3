"""ClickHouse's sentence about a caller's value, if it quotes nothing else.

The caller may run the query but not read it. Many of ClickHouse's sentences quote what it made from
value and query together, with or without quotation marks: a regular expression (code 427), a time
zone, a format's text, the whole statement (``In query SELECT …``), a row of a subquery. So the
caller sees a sentence only if it is listed here, to the letter. Otherwise the caller sees the
error's name.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from tenants.warehouse.errors import StatementFailed

#: Sentences of ClickHouse 26.9. ``{value}`` must be a value of the call. ``'{value}'`` is replaced
#: by … if it is not one. ``{n}`` is a number, ``{type}`` a type without texts, ``{name}`` a
#: function.
KNOWN = (
    # Dates and times
    "Cannot parse date: expected a date in the YYYY-MM-DD or YYYYMMDD format",
    "Cannot parse time: invalid first character",
    "Cannot parse DateTime",
    "Cannot read DateTime: neither Date nor Time was parsed successfully",
    "Cannot read DateTime: unexpected alphabetical character",
    "Cannot read DateTime: unexpected word",
    "Cannot load time zone {value}",
    "{value} doesn't look like an interval unit in {name}",
    "{value} doesn't look like datepart name in {name}",
    "Function {name} does not support '{value}' unit",
    "Invalid date part {value} for function {name}",
    "Incorrect syntax '{value}', symbol is not supported '{value}' for function {name}",
    # Numbers
    "Attempt to read after eof",
    "Cannot convert string '{value}' to type {type}",
    "Cannot parse exponent while reading decimal",
    "Cannot parse string '{value}' as {type}: syntax error at begin of string",
    "Cannot parse string '{value}' as {type}: syntax error at position {n}",
    "Cannot parse string '{value}' as {type}: syntax error at position {n} (parsed just '{value}')",
    "Cannot read floating point value here: {value}",
    "Division by zero",
    "Scale {n} is out of bounds (max scale: {n})",
    "Too many digits ({n} > {n}) in decimal value",
    "Unsigned type must not contain '-' symbol",
    # Other types
    "Array does not start with '[' character",
    "Cannot parse IPv4 {value}",
    "Cannot parse IPv6 {value}",
    "Cannot parse uuid {value}",
    "Cannot read array from text, expected comma or end of array, found '{value}'",
    "String too long for type {type}",
    "Unexpected value {value} in enum",
    "Unknown element '{value}' for enum",
    # Arguments of functions, and clauses
    "A call to function {name} underflows, the {n}rd argument step can't be less or equal to zero",
    "Bin count should be positive",
    "Illegal separator for function {name}. Must be exactly one byte",
    "Invalid escape sequence at the end of LIKE pattern '{value}'",
    "Invalid {name} value ({value}), cannot be decoded",
    "New padded length ({value}) is negative",
    "Parameter for aggregate function {name} is out of range: [{n}, {n}]",
    "Parameter for aggregate function {name} should be positive number",
    "Parameter {value} is illegal for aggregate function '{name}'",
    "Quantile level is out of range [0..1]",
    "The argument {n} and argument {n} of function {name} have different array sizes",
    "The number of shift positions needs to be a non-negative value",
    "The value {value} is not representable as UInt64",
    "Tuple doesn't have element with index '{value}'",
    "Tuple doesn't have element with name '{value}'",
    "Unknown data type family: {value}",
    "Value for {n}nd argument of function {name} must be positive",
    "WITH FILL STEP value cannot be zero",
)
#: The part of a message that is about the statement instead of the value.
_INTERNALS = re.compile(
    r":? (?:[Ww]hile (?:executing|converting|processing)|In scope|"
    r"Cannot parse \w+(?:\([^()]*\))? from String)\b.*"
    r"|[.:,] (?:Note: |Look at |Maybe you meant|maybe you meant|Please note|You can ).*"
    r"|\s*\([A-Z][A-Z0-9_]+\)\s*\Z",
    re.DOTALL,
)
#: The longest message that is compared, and the longest sentence that is shown, in characters.
_MOST_COMPARED, _MOST_SHOWN = 4_000, 300
_PLACES = {
    "'{value}'": r"'(?P<quoted>.*)'",
    "{value}": r"(?P<bare>.*)",
    "{n}": r"\d+",
    "{type}": r"\w+(?:\([\w, ]*\))?",
    "{name}": r"\w+",
}
_PLACE = re.compile("|".join(map(re.escape, _PLACES)))
_GROUP = re.compile(r"\?P<(\w+)>")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def sentence(error: StatementFailed, values: Collection[str], database: str) -> str:
    """ClickHouse's sentence about a value of the call, or a sentence with the error's name.

    ``values`` are the call's values as they were bound. A sentence that names ``database`` is not
    shown.
    """
    words = _INTERNALS.sub("", _INTERNALS.sub("", error.message)).strip().rstrip(".:")
    own = {*values, *(_ESCAPED.sub(r"\1", value) for value in values)}
    forms = _FORMS if len(words) <= _MOST_COMPARED else ()
    shown = next(filter(None, (_shown(form, words, own) for form in forms)), "")
    if shown and database not in shown:
        return f"{shown[:_MOST_SHOWN]}."
    return f"ClickHouse can't use this value ({error.name or f'code {error.code}'})."


def _form(known: str) -> re.Pattern[str]:
    """The pattern of a known sentence, with groups ``quoted_<n>`` and ``bare_<n>`` for values."""
    parts: list[str] = []
    end = 0
    for number, place in enumerate(_PLACE.finditer(known)):
        group = _GROUP.sub(rf"?P<\1_{number}>", _PLACES[place[0]])
        parts += [re.escape(known[end : place.start()]), group]
        end = place.end()
    return re.compile("".join([*parts, re.escape(known[end:])]), re.DOTALL)


_FORMS = tuple(map(_form, KNOWN))


def _shown(form: re.Pattern[str], words: str, own: Collection[str]) -> str:
    """``words`` with … for quoted text that is not the caller's; '' if ``form`` does not match."""
    match = form.fullmatch(words)
    if match is None:
        return ""
    strange = [group for group, text in match.groupdict().items() if text not in own]
    if any(group.startswith("bare") for group in strange):
        return ""
    for start, end in sorted(map(match.span, strange), reverse=True):
        words = f"{words[:start]}…{words[end:]}"
    return words
