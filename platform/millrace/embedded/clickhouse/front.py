"""ClickHouse's HTTP interface: turns a request into a statement, and its result into a response."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from millrace.embedded.clickhouse import (
    access,
    compression,
    execute,
    external,
    formats,
    statement,
)
from millrace.embedded.clickhouse.call import Call
from millrace.embedded.clickhouse.engine import Engine, EngineConnection
from millrace.embedded.clickhouse.errors import EngineError, refuse
from millrace.embedded.clickhouse.guard import Guard
from millrace.embedded.clickhouse.identity import Identities
from millrace.embedded.clickhouse.insert import insert
from millrace.embedded.clickhouse.insert_buffer import Budget, Spool
from millrace.embedded.clickhouse.parameters import Parameters, split
from millrace.embedded.clickhouse.pool import (
    Pool,
    Profile,
    Slots,
    split_profile,
    without_result_limits,
)
from millrace.embedded.clickhouse.request import Request
from millrace.embedded.clickhouse.response import Response
from millrace.embedded.clickhouse.running_queries import Process, Processes, Watcher
from millrace.embedded.clickhouse.sessions import TIMEOUT, Sessions
from millrace.embedded.clickhouse.users import User

#: How many statements run at once, and how many seconds another one waits for its turn.
SLOTS, PATIENCE = 32, 10.0
#: How many idle connections are kept.
IDLE = 64

_PLAIN = {"Content-Type": "text/plain; charset=UTF-8"}
_CANCEL = "cancel_http_readonly_queries_on_client_close"


class Front:
    """Answers requests, and has everything they share: connections, slots, sessions, the guard."""

    def __init__(self, engine: Engine, identities: Identities) -> None:
        self._identities = identities
        self._pool = Pool(engine, IDLE)
        self._slots = Slots(SLOTS, PATIENCE)
        self._budget = Budget()
        self._guard = Guard()
        self.sessions = Sessions(engine)
        self.processes = Processes(engine.connect())
        self._watcher = Watcher(self.processes)
        facts = self.processes.ask("SELECT version(), timezone(), hostName()").split("\t")
        self._timezone, self._host = facts[1:]
        self._version = f"(version {facts[0]} (official build))"

    def respond(self, request: Request, response: Response) -> None:
        """Answer one request, errors included. Raises Disconnected and BadRequest."""
        response.headers["X-ClickHouse-Server-Display-Name"] = self._host
        if request.path in ("/ping", "/replicas_status") or _is_greeting(request):
            response.whole(200, b"Ok.\n", _PLAIN)
        elif request.path not in ("/", ""):
            response.keep_alive = request.drain() and response.keep_alive
            response.whole(404, b"Nothing is at this address. Use / or /ping.\n", _PLAIN)
        elif request.method not in ("GET", "POST", "PUT"):
            response.keep_alive = request.drain() and response.keep_alive
            response.whole(501, b"This method is not supported. Use GET or POST.\n", _PLAIN)
        else:
            try:
                self._answer(request, response)
            except EngineError as error:
                self._fail(error, request, response)

    def _fail(self, error: EngineError, request: Request, response: Response) -> None:
        words = f"{error.text} {self._version}\n".encode("utf-8", "replace")
        if response.started:
            response.broken(words)
            return
        response.headers.pop("X-ClickHouse-Format", None)
        extra = {"X-ClickHouse-Exception-Code": str(error.code), **_PLAIN}
        if error.status == 401:
            extra["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
        response.keep_alive = request.drain() and response.keep_alive
        response.whole(error.status, words, extra)

    def _answer(self, request: Request, response: Response) -> None:
        parameters = split(request.query)
        user = self._identities.authenticate(request, parameters)
        query_id = parameters.transport.get("query_id") or str(uuid.uuid4())
        self._describe(request, response, user, parameters, query_id)
        process = Process(query_id, user.name, threading.get_native_id())
        call = Call(request, response, user, parameters, process)
        spool = Spool(self._budget)
        try:
            # Listed before its body is read, because a statement may still run after its client
            # has gone, and then must be found by its id.
            with self.processes.running(process):
                call.read(spool)
                self._carry_out(call, spool)
        finally:
            spool.release()

    def _describe(
        self,
        request: Request,
        response: Response,
        user: User,
        parameters: Parameters,
        query_id: str,
    ) -> None:
        response.headers["X-ClickHouse-Query-Id"] = query_id
        response.headers["X-ClickHouse-Timezone"] = self._timezone
        own = user.value("enable_http_compression") or "0"
        if parameters.front.get("enable_http_compression", own) in ("1", "true"):
            coding = compression.choose(request.header("accept-encoding"))
            if coding:
                level = parameters.number("http_zlib_compression_level", 3)
                response.encoder = compression.encoder(coding, level)
                response.headers["Content-Encoding"] = coding

    def _carry_out(self, call: Call, spool: Spool) -> None:
        if access.concerns(call.sql):
            if not call.user.admin:
                raise refuse(497, "Not enough privileges. This user may not manage users.")
            result = access.carry_out(call.sql, self._identities.users)
            call.response.whole(200, result.encode(), {"X-ClickHouse-Format": "TabSeparated"})
            return
        readonly = 2 if call.request.method == "GET" else 0
        profile = self._identities.profile(call.user, call.parameters, readonly)
        if call.insertion is not None and not call.session:
            profile, own = split_profile(profile)
            call.insertion = call.insertion.given(own)
        slot = self._slots.one(call.user, call.most_at_once)
        with self._watched(call), slot, self._connection(call, profile) as connection:
            self._statement(call, profile, connection, spool)

    @contextmanager
    def _watched(self, call: Call) -> Iterator[None]:
        own = call.user.value(_CANCEL) == "1"
        if call.insertion is not None or not (own or call.parameters.flag(_CANCEL)):
            yield
            return
        self._watcher.watch(call.request.reader.sock, call.process)
        try:
            yield
        finally:
            self._watcher.forget(call.request.reader.sock)

    @contextmanager
    def _connection(self, call: Call, profile: Profile) -> Iterator[EngineConnection]:
        with ExitStack() as stack:
            if call.session:
                connection = stack.enter_context(self._of_session(call, profile))
                if connection is not None:
                    yield connection
                    return
            borrowed = stack.enter_context(self._pool.connection(profile))
            borrowed.spent = call.lasting or bool(call.files)
            yield borrowed.connection

    @contextmanager
    def _of_session(self, call: Call, profile: Profile) -> Iterator[EngineConnection | None]:
        """The session's connection; None if the session is only a lock."""
        transport = call.parameters.transport
        bare = profile if not call.user.admin else Profile(profile.role, profile.database)
        timeout = call.parameters.number("session_timeout", TIMEOUT)
        check = call.parameters.flag("session_check")
        key = (call.user.name, call.session)
        with self.sessions.use(key, bare, timeout, time.monotonic(), check=check) as session:
            if session.connection is None:
                yield None
                return
            if profile.readonly:
                _must_read(session.connection, call)
            database = transport.get("database", "")
            settings = dict(profile.settings)
            with session.prepared(session.connection, database, settings, lasting=call.lasting):
                yield session.connection

    def _statement(
        self, call: Call, profile: Profile, connection: EngineConnection, spool: Spool
    ) -> None:
        self._check(call, profile, connection)
        if call.insertion is not None:
            kill = partial(self.processes.kill, call.process)
            counts = insert(connection, call.insertion, spool, call.process.mark, kill)
            call.response.whole(200, b"", {"X-ClickHouse-Summary": execute.summary(counts)})
            return
        work = self._work(call, profile)
        call.response.headers["X-ClickHouse-Format"] = work.form
        call.response.headers["Content-Type"] = formats.content_type(work.form)
        call.response.headers["X-ClickHouse-Exception-Tag"] = call.response.tag
        tables = external.load(connection, call.files, call.parameters.transport)
        try:
            execute.query(connection, work, call.response)
        finally:
            if tables and call.session:
                external.drop(connection, tables)

    def _work(self, call: Call, profile: Profile) -> execute.Work:
        sql = call.sql
        if call.words[:1] == ["KILL"]:
            sql = self.processes.translate(sql)
        most = dict(profile.settings).get("max_result_bytes", "0")
        return execute.Work(
            sql=sql,
            form=statement.output_format(sql)[0] or call.default_format or "TabSeparated",
            bound=call.parameters.bound,
            wait=call.parameters.flag("wait_end_of_query"),
            bounded=most.isdigit() and 0 < int(most) <= execute.SMALL,
            mark=call.process.mark,
        )

    def _check(self, call: Call, profile: Profile, connection: EngineConnection) -> None:
        if not call.user.admin:
            borrow = partial(self._pool.connection, without_result_limits(profile))
            rules = self._identities.rules(call.user)
            self._guard.check(borrow, call.sql, call.parameters.bound, rules)
            return
        if call.insertion is not None:
            return
        lowered = call.text.lower()
        if b";" in lowered.rstrip(b"; \t\r\n") and connection.classify(call.sql)[1] > 1:
            raise refuse(62, "Syntax error: Multi-statements are not allowed.")
        if b"outfile" in lowered and connection.classify(call.sql)[0] == "CONTROL":
            raise refuse(358, "INTO OUTFILE is not allowed.")

    def close(self) -> None:
        """Close every connection that is not running a query."""
        self.sessions.close()
        self._pool.forget()
        self.processes.close()


def _is_greeting(request: Request) -> bool:
    return request.method == "GET" and request.path == "/" and not request.query


def _must_read(connection: EngineConnection, call: Call) -> None:
    """Refuse a GET that writes. Setting readonly could not be undone on a session's connection."""
    if call.words[:1] in (["SET"], ["USE"]) or connection.classify(call.sql)[0] == "READ_ONLY":
        return
    raise refuse(
        164,
        "Cannot execute query in readonly mode. For queries over HTTP, method GET implies "
        "readonly. You should use method POST for modifying queries.",
    )
