"""Reads a call from a request: its parameters, the statement, and the data that comes with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from millrace.embedded.clickhouse import compression, external, forms, statement
from millrace.embedded.clickhouse.errors import refuse
from millrace.embedded.clickhouse.insert_buffer import Spool
from millrace.embedded.clickhouse.parameters import MOST_AT_ONCE, Parameters, split
from millrace.embedded.clickhouse.request import Request
from millrace.embedded.clickhouse.response import Response
from millrace.embedded.clickhouse.running_queries import Process
from millrace.embedded.clickhouse.users import User

#: The largest query or form, in bytes. Data of inserts is not part of it.
MAX_QUERY = 256 << 20
#: The data of an INSERT must begin within this many bytes.
MAX_INSERT_HEAD = 1 << 16


@dataclass
class Call:
    """One request, with what was read from it so far."""

    request: Request
    response: Response
    user: User
    parameters: Parameters
    process: Process
    text: bytes = b""
    files: dict[str, bytes] = field(default_factory=dict)
    insertion: statement.Insertion | None = None
    words: list[str] = field(default_factory=list)

    @property
    def sql(self) -> str:
        """The statement; bytes that are not UTF-8 become lone surrogates."""
        return self.text.decode("utf-8", "surrogateescape")

    @property
    def session(self) -> str:
        """The id of the session that the request names, or ''."""
        return self.parameters.transport.get("session_id", "")

    @property
    def lasting(self) -> bool:
        """Whether the statement changes its connection for later statements."""
        return statement.is_lasting(self.words)

    @property
    def most_at_once(self) -> int:
        """How many statements the user may run at once; 0 if no limit is set."""
        own = self.user.value(MOST_AT_ONCE) or "0"
        return self.parameters.number(MOST_AT_ONCE, int(own) if own.isdecimal() else 0)

    def read(self, spool: Spool) -> None:
        """Read the statement, and an insert's data into ``spool``; raises EngineError."""
        data = self._data()
        if forms.is_form(self.request.header("content-type")):
            form = forms.multipart(self.request.header("content-type"), _all(data))
            form.fields["query"] = self.request.query.get("query", "") + form.fields.get(
                "query", ""
            )
            self._form(form)
        self.text = self.parameters.transport.get("query", "").encode("utf-8", "surrogateescape")
        if not self.text:
            data = self._text(data)
        self.words = statement.first_words(self.text, 4)
        if self.words[:1] == ["INSERT"]:
            self.insertion = statement.insertion(self.text, self.default_format)
        if self.insertion is not None:
            spool.fill(self.text[self.insertion.data_at :], data)
        elif rest := _all(data):
            # The statement is the query parameter and the body, joined by a newline if both exist.
            between = b"\n" if self.parameters.transport.get("query") else b""
            self.text += between + rest

    @property
    def default_format(self) -> str:
        """The request's format for a statement that names none; may be empty."""
        name = self.parameters.transport.get("default_format")
        return name or self.request.header("x-clickhouse-format")

    def _data(self) -> Iterator[bytes]:
        if self.parameters.flag("decompress") or self.parameters.flag("compress"):
            raise refuse(
                48,
                "This server does not know the parameters compress and decompress (ClickHouse's "
                "own blocks). Use Content-Encoding and Accept-Encoding.",
            )
        if not self.request.has_body:
            return iter(())
        return compression.decode(self.request.header("content-encoding"), self.request.body())

    def _form(self, form: forms.Form) -> None:
        pairs = {**self.request.query, **form.fields}
        self.parameters = split(pairs, external.names(form.files))
        self.files = form.files

    def _text(self, data: Iterator[bytes]) -> Iterator[bytes]:
        """Read the start of the body as the statement; returns the rest of the body."""
        for piece in data:
            self.text += piece
            if len(self.text) >= MAX_INSERT_HEAD:
                break
        content_type = self.request.header("content-type").lower()
        if "urlencoded" in content_type and forms.looks_like_one(self.text):
            self._form(forms.urlencoded(self.text + _all(data)))
            query = self.parameters.transport.get("query", "")
            self.text = query.encode("utf-8", "surrogateescape")
        return data


def _all(data: Iterator[bytes]) -> bytes:
    pieces: list[bytes] = []
    size = 0
    for piece in data:
        pieces.append(piece)
        size += len(piece)
        if size > MAX_QUERY:
            raise refuse(229, f"The query is larger than {MAX_QUERY} bytes.")
    return b"".join(pieces)
