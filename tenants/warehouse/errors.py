"""What can go wrong between us and ClickHouse.

    WarehouseError
    ├── WarehouseUnreachable   try later: the engine did not answer
    │   └── RunningAlready     the engine is still at the same statement of an earlier try
    └── StatementFailed        somebody must act: the engine refused a statement (code, message)

ClickHouse's own code is kept, its stack trace and version are cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError

UNREACHABLE = "ClickHouse does not answer at the address in CLICKHOUSE_URL."
STILL_AT_WORK = (
    "ClickHouse is still at work on an earlier try. Try again in a moment, as a source does by "
    "itself. If this lasts, look for the query in system.processes, and end it by KILL QUERY."
)
#: QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING
_RUNNING_ALREADY = 216
_MESSAGE = re.compile(r"Code: (\d+)\. DB::Exception: (.*)", re.DOTALL)
_NAME = re.compile(r"\(([A-Z][A-Z0-9_]{2,60})\)\s*\(version ")
_TAIL = re.compile(r"(?:,? Stack trace.*|\s*\(version [^)]*\)+.*|[:.]? In scope .*)\Z", re.DOTALL)

#: Where in the engine it happened: names of its files, threads and steps, which say nothing to an
#: operator or to the sender of a message.
_INTERNALS = re.compile(
    r":? ?\(in file/uri [^)]*\)|: While (?:executing|processing|reading) .*|:? ?\(at row \d+\)\s*"
    r"|/proc/self/fd/\d+",
    re.DOTALL,
)


class WarehouseError(Exception):
    """The engine could not do as asked."""


class WarehouseUnreachable(WarehouseError):
    """The engine did not answer; the same call may go through later."""


class RunningAlready(WarehouseUnreachable):
    """A statement with the same query id has not ended yet."""


class StatementFailed(WarehouseError):
    """The engine refused a statement.

    Attributes: ``code``, ClickHouse's number (0 where it gave none); ``message``, its words;
    ``name``, such as BAD_ARGUMENTS, which its words may have too ('' where it is not known).
    """

    def __init__(self, code: int, message: str, name: str = "") -> None:
        super().__init__(f"{message} (ClickHouse code {code})" if code else message)
        self.code = code
        self.message = message
        self.name = name


def clean(text: str) -> tuple[int, str]:
    """ClickHouse's code and message out of the text of an error."""
    found = _MESSAGE.search(text)
    if found is None:
        return 0, _sentence(text)
    return int(found[1]), _sentence(found[2])


def name_of(text: str) -> str:
    """ClickHouse's name for the error, '' where it gives none.

    It stands before the version. In the words before it a value may look like one.
    """
    found = _NAME.findall(text)
    return str(found[-1]) if found else ""


def _sentence(text: str) -> str:
    return _INTERNALS.sub("", _TAIL.sub("", text)).strip()


@contextmanager
def translated() -> Iterator[None]:
    """Raise this module's exceptions in place of the client library's."""
    try:
        yield
    except ClickHouseError as error:
        code, message = clean(str(error))
        if code == 0 and isinstance(error, OperationalError):
            raise WarehouseUnreachable(UNREACHABLE) from error
        if code == _RUNNING_ALREADY:
            raise RunningAlready(STILL_AT_WORK) from error
        raise StatementFailed(code, message, name_of(str(error))) from error
