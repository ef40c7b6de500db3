"""Errors of talking to ClickHouse.

    WarehouseError
    ├── WarehouseUnreachable   try later: ClickHouse did not answer
    │   └── RunningAlready     try later: ClickHouse still runs the same statement
    └── StatementFailed        a person must act: ClickHouse refused a statement (code, message)

Messages keep ClickHouse's error code but not its stack trace and version.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError

UNREACHABLE = "ClickHouse does not answer at the address in CLICKHOUSE_URL."
STILL_AT_WORK = (
    "ClickHouse is still running an earlier attempt. Try again in a moment; sources do that by "
    "themselves. If this lasts, find the query in system.processes and end it with KILL QUERY."
)
#: QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING
_RUNNING_ALREADY = 216
_MESSAGE = re.compile(r"Code: (\d+)\. DB::Exception: (.*)", re.DOTALL)
_NAME = re.compile(r"\(([A-Z][A-Z0-9_]{2,60})\)\s*\(version ")
# A message has values of the sender's: a run of blanks is tried once, not from each of its blanks.
_TAIL = re.compile(
    r"(?:,? Stack trace.*|(?<!\s)\s*+\(version [^)]{0,200}\)+.*|[:.]? In scope .*)\Z", re.DOTALL
)

#: Where in ClickHouse the error happened: names of its files, threads and steps, which don't help
#: an operator or the sender of a message.
_INTERNALS = re.compile(
    r":? ?\(in file/uri [^)]*\)|: While (?:executing|processing|reading) .*|:? ?\(at row \d+\)\s*"
    r"|/proc/self/fd/\d+",
    re.DOTALL,
)


class WarehouseError(Exception):
    """ClickHouse could not carry out a request."""


class WarehouseUnreachable(WarehouseError):
    """ClickHouse did not answer; the same call may succeed later."""


class RunningAlready(WarehouseUnreachable):
    """A statement with the same query id is still running."""


class StatementFailed(WarehouseError):
    """ClickHouse refused a statement.

    ``code`` is ClickHouse's error number (0 if unknown); ``message`` its text; ``name`` the error's
    name, such as BAD_ARGUMENTS ('' if unknown). The text may contain the name, too.
    """

    def __init__(self, code: int, message: str, name: str = "") -> None:
        super().__init__(f"{message} (ClickHouse code {code})" if code else message)
        self.code = code
        self.message = message
        self.name = name


def clean(text: str) -> tuple[int, str]:
    """ClickHouse's error code and message, from the text of an error."""
    match = _MESSAGE.search(text)
    if match is None:
        return 0, _sentence(text)
    return int(match[1]), _sentence(match[2])


def name_of(text: str) -> str:
    """ClickHouse's name for the error, or '' if the text has none.

    It is the last match, just before the version: a value in the message may look like a name.
    """
    names = _NAME.findall(text)
    return str(names[-1]) if names else ""


def _sentence(text: str) -> str:
    return _INTERNALS.sub("", _TAIL.sub("", text)).strip()


@contextmanager
def translated() -> Iterator[None]:
    """Raise this module's exceptions instead of the client library's."""
    try:
        yield
    except ClickHouseError as error:
        code, message = clean(str(error))
        if code == 0 and isinstance(error, OperationalError):
            raise WarehouseUnreachable(UNREACHABLE) from error
        if code == _RUNNING_ALREADY:
            raise RunningAlready(STILL_AT_WORK) from error
        raise StatementFailed(code, message, name_of(str(error))) from error
