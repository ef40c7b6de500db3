"""Errors with ClickHouse's codes, and the HTTP status of each code.

EngineError            what ClickHouse itself would answer: code, name, message
BadRequest             the HTTP framing is broken; answered with a plain status, then closed
Disconnected           the client has gone, so there is nobody to answer
"""

from __future__ import annotations

import re

_CODE = re.compile(r"Code: (\d+)\. DB::\w*Exception: ")
_VERSION = re.compile(r" \(version [0-9.]+[^)]*\)\.?")
_DOUBLED = re.compile(r"\ACode: \d+\. DB::Exception: (?=Code: \d+\. DB::\w*Exception: )")
_NAMED_TWICE = re.compile(r"(\([A-Z_]+\)) \([A-Z_]+\)\Z")

#: Names of the codes that this server itself raises.
NAMES = {
    36: "BAD_ARGUMENTS",
    48: "NOT_IMPLEMENTED",
    62: "SYNTAX_ERROR",
    115: "UNKNOWN_SETTING",
    117: "INCORRECT_DATA",
    159: "TIMEOUT_EXCEEDED",
    164: "READONLY",
    180: "THERE_IS_NO_PROFILE",
    192: "UNKNOWN_USER",
    202: "TOO_MANY_SIMULTANEOUS_QUERIES",
    210: "NETWORK_ERROR",
    216: "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING",
    229: "QUERY_IS_TOO_LARGE",
    271: "CANNOT_DECOMPRESS",
    358: "INTO_OUTFILE_NOT_ALLOWED",
    372: "SESSION_NOT_FOUND",
    373: "SESSION_IS_LOCKED",
    374: "INVALID_SESSION_TIMEOUT",
    394: "QUERY_WAS_CANCELLED",
    452: "SETTING_CONSTRAINT_VIOLATION",
    493: "ACCESS_ENTITY_ALREADY_EXISTS",
    497: "ACCESS_DENIED",
    516: "AUTHENTICATION_FAILED",
    1001: "STD_EXCEPTION",
}

# Source: ClickHouse's src/Server/HTTP/exceptionCodeToHTTPStatus.cpp; any other code is a 500.
_STATUSES: dict[int, tuple[int, ...]] = {
    400: (
        *(6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123, 167, 168),
        *(223, 321, 376, 427, 441, 675, 676),
    ),
    401: (194,),
    403: (192, 193, 497, 512, 516),
    404: (46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511),
    408: (159,),
    411: (381,),
    413: (229,),
    415: (779,),
    501: (48,),
    503: (76, 209, 439),
}
_STATUS = {code: status for status, codes in _STATUSES.items() for code in codes}


class EngineError(Exception):
    """An error that ClickHouse's clients understand.

    Attributes: ``code``, ClickHouse's number; ``text``, "Code: N. DB::Exception: … (NAME)".
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text

    @property
    def status(self) -> int:
        """The HTTP status that ClickHouse answers this code with."""
        return _STATUS.get(self.code, 500)


class BadRequest(Exception):
    """The request cannot be read as HTTP. ``status`` is the HTTP status of the answer."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Disconnected(Exception):
    """The client closed the connection, or sent nothing for too long."""


def refuse(code: int, words: str) -> EngineError:
    """An error raised by this server itself, in ClickHouse's form."""
    return EngineError(code, f"Code: {code}. DB::Exception: {words} ({NAMES[code]})")


def translate(error: BaseException) -> EngineError:
    """Turn chDB's exception into an EngineError, without repeated prefixes and versions."""
    text = _VERSION.sub("", str(error)).strip()
    start = text.find("Code: ")
    text = text[start:] if start > 0 else text
    if _DOUBLED.match(text):
        text = _NAMED_TWICE.sub(r"\1", _DOUBLED.sub("", text))
    code = _CODE.match(text)
    if code is None:
        return EngineError(1001, f"Code: 1001. DB::Exception: {text} (STD_EXCEPTION)")
    return EngineError(int(code[1]), text)
