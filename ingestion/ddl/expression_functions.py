"""Functions that an expression may use.

Each gives the same value for the same arguments, whatever the time, the server and the user. None
raises for a single row: a row that raises would stop its whole batch. So a conversion that fails
for some texts, or a division of integers by zero, has no place here.
"""

from __future__ import annotations

TEXT = frozenset(
    {
        *("lower", "upper", "lowerUTF8", "upperUTF8", "trimBoth", "trimLeft", "trimRight"),
        "concat",
        *("length", "lengthUTF8", "empty", "notEmpty", "reverse", "reverseUTF8"),
        *("startsWith", "endsWith", "position", "positionCaseInsensitive", "replaceOne"),
        *("hex", "base64Encode", "toString"),
        *("domain", "domainWithoutWWW", "topLevelDomain", "protocol", "path", "pathFull"),
        *("queryString", "cutQueryString", "extractURLParameter"),
    }
)
HASHES = frozenset(
    {
        *("sipHash64", "sipHash128", "cityHash64", "xxHash64", "murmurHash3_64", "halfMD5"),
        *("MD5", "SHA1", "SHA256", "SHA512"),
    }
)
TIMES = frozenset(
    {
        *("toStartOfMinute", "toStartOfFiveMinutes", "toStartOfFifteenMinutes", "toStartOfHour"),
        *("toStartOfDay", "toStartOfWeek", "toMonday", "toStartOfMonth", "toStartOfQuarter"),
        *("toStartOfYear", "toYear", "toQuarter", "toMonth", "toDayOfYear", "toDayOfMonth"),
        *("toDayOfWeek", "toHour", "toMinute", "toSecond", "toYYYYMM", "toYYYYMMDD"),
    }
)
NUMBERS = frozenset({"abs", "moduloOrZero"})
CHOICES = frozenset({"if", "multiIf", "ifNull", "coalesce", "isNull", "isNotNull"})
#: Functions that raise for some patterns, lengths and places: all arguments but the first must be
#: written out, so that they can be tried once and for all.
WRITTEN_OUT = frozenset(
    {
        *("substring", "substringUTF8", "left", "right", "leftUTF8", "rightUTF8"),
        *("match", "extract", "floor", "ceil"),
    }
)
#: Functions for which no value of a column is too large.
TAKES_ANY = TEXT | HASHES | TIMES | WRITTEN_OUT
ALLOWED = TAKES_ANY | NUMBERS | CHOICES | {"has"}
#: Functions that raise for some texts, and so take the name of a column of these types alone.
CONVERSIONS = {
    "toFloat64": ("Int", "UInt", "Float", "Decimal"),
    "toDate": ("Date", "DateTime"),
}
