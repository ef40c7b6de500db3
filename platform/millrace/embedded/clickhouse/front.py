"""ClickHouse's HTTP interface: from a request to a statement, from its outcome to a response."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from millrace.embedded.clickhouse import (
    access,
    compression,
    execute,
    external,
    formats,
    forms,
    statement,
)
from millrace.embedded.clickhouse import (
    parameters as parameters_,
)
from millrace.embedded.clickhouse.engine import Connection, Engine
from millrace.embedded.clickhouse.errors import BadRequest, EngineError, refuse
from millrace.embedded.clickhouse.guard import Guard
from millrace.embedded.clickhouse.identity import Identities
from millrace.embedded.clickhouse.parameters import Parameters
from millrace.embedded.clickhouse.pool import Pool, Profile, Slots
from millrace.embedded.clickhouse.processes import Process, Processes, Watcher
from millrace.embedded.clickhouse.request import Request
from millrace.embedded.clickhouse.response import Response
from millrace.embedded.clickhouse.sessions import TIMEOUT, Sessions
from millrace.embedded.clickhouse.users import User

log = logging.getLogger(__name__)

#: Statements that run at once, and seconds that one more waits for its turn.
SLOTS, PATIENCE = 32, 10.0
#: Idle connections kept.
IDLE = 64
#: Largest query text in bytes (data of inserts is not part of it).
MAX_QUERY = 64 << 20
_HEAD = 1 << 16


@dataclass
class Call:
    """One request on its way through."""

    request: Request
    response: Response
    parameters: Parameters
    user: User
    text: bytes
    data: Iterator[bytes]
    files: dict[str, bytes]
    process: Process


class Front:
    """Everything that requests share."""

    def __init__(self, engine: Engine, identities: Identities) -> None:
        self._engine = engine
        self._identities = identities
        self._pool = Pool(engine, IDLE)
        self._slots = Slots(SLOTS, PATIENCE)
        self._guard = Guard()
        self.sessions = Sessions(engine)
        self.processes = Processes(engine.connect())
        self._watcher = Watcher(self.processes)
        version, self._timezone, self._host = (
            engine.connect()
            .text("SELECT version(), timezone(), hostName()")
            .split("\t")
        )
        self._version = f"(version {version} (official build))"

    def respond(self, request: Request, response: Response) -> None:
        """Answer one request, whatever comes of it."""
        response.headers.update({"X-ClickHouse-Server-Display-Name": self._host})
        if request.path in ("/ping", "/replicas_status") or _is_greeting(request):
            response.whole(200, b"Ok.\n", {"Content-Type": "text/html; charset=UTF-8"})
            return
        if request.path not in ("/", "", "/query"):
            words = f"There is no handle {request.path[:200]}. Use / or /ping.\n"
            response.whole(
                404, words.encode("utf-8", "replace"), {"Content-Type": "text/plain"}
            )
            return
        if request.method not in ("GET", "POST", "PUT"):
            response.whole(501, b"Use GET or POST.\n", {"Content-Type": "text/plain"})
            return
        try:
            self._run(request, response)
        except EngineError as error:
            self._fail(error, response)

    def _fail(self, error: EngineError, response: Response) -> None:
        words = f"{error.text} {self._version}\n"
        if response.started:
            response.broken(error, words)
            return
        response.headers.pop("X-ClickHouse-Format", None)
        extra = {
            "X-ClickHouse-Exception-Code": str(error.code),
            "Content-Type": "text/plain; charset=UTF-8",
        }
        if error.status == 401:
            extra["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
        response.whole(error.status, words.encode("utf-8", "replace"), extra)

    def _run(self, request: Request, response: Response) -> None:
        call = self._read(request, response)
        self.processes.add(call.process)
        try:
            if access.concerns(call.text[:_HEAD].decode("utf-8", "replace")):
                self._about_users(call)
            else:
                self._execute(call)
        finally:
            self.processes.remove(call.process)

    def _read(self, request: Request, response: Response) -> Call:
        """Authenticate, then take in what the query is and where its data begins."""
        parameters = parameters_.split(request.query)
        user = self._identities.authenticate(request, parameters)
        files: dict[str, bytes] = {}
        data = _plain_body(request, parameters)
        if forms.is_form(request.header("content-type")):
            form = forms.multipart(request.header("content-type"), _all(data))
            files, data = form.files, iter(())
            pairs = {**request.query, **form.fields}
            parameters = parameters_.split(pairs, external.names(files))
        text = parameters.transport.get("query", "").encode("utf-8", "surrogateescape")
        if not text and "urlencoded" in request.header("content-type"):
            data, parameters, text = _maybe_form(request, data, parameters)
        query_id = parameters.transport.get("query_id") or str(uuid.uuid4())
        self._describe(response, request, user, parameters, query_id)
        process = Process(query_id, user.name, threading.get_native_id())
        return Call(request, response, parameters, user, text, data, files, process)

    def _describe(
        self,
        response: Response,
        request: Request,
        user: User,
        parameters: Parameters,
        query_id: str,
    ) -> None:
        response.headers["X-ClickHouse-Query-Id"] = query_id.replace("\r", "").replace(
            "\n", ""
        )
        response.headers["X-ClickHouse-Timezone"] = self._timezone
        wanted = parameters.front.get(
            "enable_http_compression", user.value("enable_http_compression") or "0"
        )
        coding = (
            compression.choose(request.header("accept-encoding"))
            if wanted == "1"
            else ""
        )
        if coding:
            level = parameters.number("http_zlib_compression_level", 3)
            response.encoder = compression.encoder(coding, level)
            response.headers["Content-Encoding"] = coding

    def _about_users(self, call: Call) -> None:
        sql = (call.text + _all(call.data)).decode("utf-8", "replace")
        if not call.user.admin:
            raise refuse(497, "Not enough privileges. This user may not manage users.")
        result = access.carry_out(sql, self._identities.users)
        call.response.whole(
            200, result.encode(), {"X-ClickHouse-Format": "TabSeparated"}
        )

    def _execute(self, call: Call) -> None:
        readonly = 2 if call.request.method == "GET" else 0
        profile = self._identities.profile(call.user, call.parameters, readonly)
        self._split_data(call)
        with ExitStack() as stack:
            if call.user.value(
                "cancel_http_readonly_queries_on_client_close"
            ) == "1" or (
                call.parameters.flag("cancel_http_readonly_queries_on_client_close")
            ):
                stack.enter_context(self._watched(call))
            stack.enter_context(self._slots.one())
            self._on_connection(call, profile, stack)

    @contextmanager
    def _watched(self, call: Call) -> Iterator[None]:
        if call.request.has_body and not call.request.body_read:
            yield
            return
        self._watcher.watch(call.request.reader.sock, call.process)
        try:
            yield
        finally:
            self._watcher.forget(call.request.reader.sock)

    def _split_data(self, call: Call) -> None:
        """Read the whole text of a query; of an insert, enough to see where its data begins."""
        if call.text:
            if not statement.is_insert(call.text):
                rest = _all(call.data)
                call.text += b"\n" + rest if rest else b""
            return
        for piece in call.data:
            call.text += piece
            if len(call.text) >= _HEAD and statement.is_insert(call.text):
                return
            if len(call.text) > MAX_QUERY:
                raise refuse(229, "The query is larger than 64 MiB.")

    def _on_connection(self, call: Call, profile: Profile, stack: ExitStack) -> None:
        name = call.parameters.transport.get("session_id")
        if not name:
            borrowed = stack.enter_context(self._pool.connection(profile))
            words = statement.first_words(call.text, 4)
            borrowed.spent = statement.is_lasting(words) or bool(call.files)
            self._statement(call, borrowed.connection)
            return
        settings = dict(profile.settings)
        if call.user.admin:
            profile = Profile(profile.role, profile.database)
        else:
            settings = {}
        self._in_session(call, name, profile, settings, stack)

    def _in_session(
        self,
        call: Call,
        name: str,
        profile: Profile,
        settings: dict[str, str],
        stack: ExitStack,
    ) -> None:
        transport = call.parameters.transport
        session = stack.enter_context(
            self.sessions.use(
                call.user.name,
                name,
                profile,
                call.parameters.number("session_timeout", TIMEOUT),
                time.monotonic(),
                check=call.parameters.flag("session_check"),
            )
        )
        lasting = statement.is_lasting(statement.first_words(call.text, 4))
        session.enter(transport.get("database", ""), {} if lasting else settings)
        try:
            if call.request.method == "GET":
                _must_read(session.connection, call.text)
            self._statement(call, session.connection)
        finally:
            session.leave({} if lasting else settings, lasting=lasting)

    def _statement(self, call: Call, connection: Connection) -> None:
        parameters = call.parameters
        default = (
            parameters.transport.get("default_format")
            or call.request.header("x-clickhouse-format")
            or ""
        )
        if statement.is_insert(call.text) and call.user.admin:
            found = statement.insertion(call.text, default)
            if found is not None:
                self._insert(call, connection, found)
                return
        sql = call.text.decode("utf-8", "surrogateescape")
        self._check(call, connection, sql)
        form = statement.output_format(sql)[0] or default or "TabSeparated"
        call.response.headers["X-ClickHouse-Format"] = form
        call.response.headers["Content-Type"] = formats.content_type(form)
        call.response.headers["X-ClickHouse-Exception-Tag"] = call.response.tag
        work = execute.Work(
            sql=sql,
            form=form,
            bound=parameters.bound,
            wait=parameters.flag("wait_end_of_query"),
            bounded=False,
            mark=call.process.mark,
        )
        tables = external.load(connection, call.files, parameters.transport)
        try:
            execute.query(connection, work, call.response)
        finally:
            if tables and parameters.transport.get("session_id"):
                external.drop(connection, tables)

    def _check(self, call: Call, connection: Connection, sql: str) -> None:
        if not call.user.admin:
            rules = self._identities.rules(call.user)
            self._guard.check(connection, sql, call.parameters.bound, rules)
            return
        if ";" in sql.rstrip().rstrip(";"):
            if connection.classify(sql)[1] > 1:
                raise refuse(62, "Syntax error: Multi-statements are not allowed.")

    def _insert(
        self, call: Call, connection: Connection, found: statement.Insertion
    ) -> None:
        head = call.text[found.data_at :]
        counts = execute.insert(
            connection, found, _chain(head, call.data), call.process.mark
        )
        call.response.whole(200, b"", {"X-ClickHouse-Summary": execute.summary(counts)})


def _is_greeting(request: Request) -> bool:
    return request.method == "GET" and request.path == "/" and not request.query


def _must_read(connection: Connection, text: bytes) -> None:
    kind, _ = connection.classify(text.decode("utf-8", "surrogateescape"))
    words = statement.first_words(text, 1)
    if kind != "READ_ONLY" and words not in (["SET"], ["USE"]):
        raise refuse(
            164,
            "Cannot execute query in readonly mode. For queries over HTTP, method "
            "GET implies readonly. You should use method POST for modifying queries.",
        )


def _chain(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if head:
        yield head
    yield from rest


def _all(data: Iterator[bytes]) -> bytes:
    pieces: list[bytes] = []
    size = 0
    for piece in data:
        pieces.append(piece)
        size += len(piece)
        if size > MAX_QUERY:
            raise refuse(229, "The query is larger than 64 MiB.")
    return b"".join(pieces)


def _plain_body(request: Request, parameters: Parameters) -> Iterator[bytes]:
    if parameters.flag("decompress") or parameters.flag("compress"):
        raise refuse(
            48,
            "The parameters compress and decompress (ClickHouse's own blocks) are not known to the "
            "embedded engine; use Content-Encoding and Accept-Encoding.",
        )
    if not request.has_body:
        return iter(())
    return compression.decode(request.header("content-encoding"), request.body())


def _maybe_form(
    request: Request, data: Iterator[bytes], parameters: Parameters
) -> tuple[Iterator[bytes], Parameters, bytes]:
    """curl -d calls everything a urlencoded form; only what looks like one is taken for one."""
    head = next(data, b"")
    if not head.startswith((b"query=", b"param_")):
        return _chain(head, data), parameters, b""
    form = forms.urlencoded(head + _all(data))
    if form is None:
        raise BadRequest(400, "The form cannot be read.")
    parameters = parameters_.split({**request.query, **form.fields})
    text = parameters.transport.get("query", "").encode("utf-8", "surrogateescape")
    return iter(()), parameters, text
