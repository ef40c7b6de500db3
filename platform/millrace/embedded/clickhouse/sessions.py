"""HTTP sessions: a connection that keeps its settings and temporary tables between requests."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from millrace.embedded.clickhouse.engine import Engine, EngineConnection
from millrace.embedded.clickhouse.errors import EngineError, refuse
from millrace.embedded.clickhouse.pool import Profile, assignments, open_with
from tenants.warehouse.quoting import identifier, string

#: Seconds that a session lives after its last query, unless the request says otherwise.
TIMEOUT = 60
#: The longest that a request may ask for, in seconds (ClickHouse's max_session_timeout).
MAX_TIMEOUT = 3600
#: Seconds that a request waits for its session. A client that has read its answer may send the next
#: query before the session, whose settings are being taken back, is free.
PATIENCE = 0.25
#: Sessions kept at once.
MOST = 512

_CHANGED = """
SELECT name, value FROM system.settings WHERE changed AND has({names:Array(String)}, name)
"""


@dataclass
class Session:
    """One session. ``home`` is its own database, ``now`` the one that its connection is in.

    Users who may only read have nothing to keep: theirs is a lock without a ``connection``.
    """

    home: str
    connection: EngineConnection | None = None
    now: str = ""
    expires: float = 0.0
    busy: bool = True
    broken: bool = False
    #: The session's own values of settings that requests gave for themselves.
    own: dict[str, str | None] = field(default_factory=dict)

    @contextmanager
    def prepared(
        self,
        connection: EngineConnection,
        database: str,
        settings: Mapping[str, str],
        *,
        lasting: bool,
    ) -> Iterator[None]:
        """Apply what one request asks for, and take it back after it.

        ``lasting``: the statement is a SET or a USE, so that its settings are the session's.
        """
        settings = {} if lasting else settings
        self.broken = True
        self._use(connection, database or self.home)
        if settings:
            self._remember(connection, settings)
            connection.run(assignments(settings))
        self.broken = False
        try:
            yield
        finally:
            self._leave(connection, settings, lasting=lasting)

    def _leave(
        self, connection: EngineConnection, settings: Mapping[str, str], *, lasting: bool
    ) -> None:
        try:
            if lasting:
                self.home = self.now = connection.text("SELECT currentDatabase()")
                self.own.clear()
            elif settings:
                values = ((name, self.own.get(name)) for name in settings)
                sets = (f"{n} = {'DEFAULT' if v is None else string(v)}" for n, v in values)
                connection.run("SET " + ", ".join(sets))
        except EngineError:
            # The statement's own outcome stands; the session begins anew.
            self.broken = True

    def _use(self, connection: EngineConnection, database: str) -> None:
        if database != self.now:
            connection.run(f"USE {identifier(database)}")
            self.now = database

    def _remember(self, connection: EngineConnection, settings: Mapping[str, str]) -> None:
        unknown = [name for name in settings if name not in self.own]
        if not unknown:
            return
        names = "[" + ", ".join(string(name) for name in unknown) + "]"
        result = connection.run(_CHANGED, "TSVRaw", {"names": names})
        rows = bytes(result.data).decode().splitlines()
        found = dict(row.split("\t", 1) for row in rows)
        self.own.update({name: found.get(name) for name in unknown})


class Sessions:
    """All sessions, by user and id. A session serves one query at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Condition()
        self._all: dict[tuple[str, str], Session] = {}

    @contextmanager
    def use(
        self,
        key: tuple[str, str],
        profile: Profile,
        timeout: int,
        now: float,
        *,
        check: bool,
    ) -> Iterator[Session]:
        """Lock the session of a user and id, made now if need be.

        Raises EngineError: 372 (``check`` and there is none), 373 (it serves another query), 374.
        """
        if not 0 < timeout <= MAX_TIMEOUT:
            raise refuse(374, f"Session timeout {timeout} is not between 1 and {MAX_TIMEOUT}.")
        session = self._acquire(key, profile, check=check)
        try:
            yield session
        finally:
            if session.broken:
                self._drop(key)
            with self._lock:
                session.expires = now + timeout
                session.busy = False
                self._lock.notify_all()

    def _acquire(self, key: tuple[str, str], profile: Profile, *, check: bool) -> Session:
        with self._lock:
            session = self._free(key)
            if session is not None:
                session.busy = True
                return session
            if check:
                raise refuse(372, f"Session {key[1]} not found.")
            if len(self._all) >= MOST:
                raise refuse(202, "Too many sessions; close some, or wait until they expire.")
            session = Session(profile.database, now=profile.database)
            self._all[key] = session
        try:
            if not profile.readonly:
                session.connection = open_with(self._engine, profile)
        except EngineError:
            self._drop(key)
            raise
        return session

    def _free(self, key: tuple[str, str]) -> Session | None:
        """The session that serves no query, None where there is none; raises EngineError 373."""

        def is_free() -> bool:
            session = self._all.get(key)
            return session is None or not session.busy

        if not self._lock.wait_for(is_free, PATIENCE):
            raise refuse(373, f"Session {key[1]} is locked by a concurrent client.")
        return self._all.get(key)

    def _drop(self, key: tuple[str, str]) -> None:
        with self._lock:
            session = self._all.pop(key, None)
        if session is not None and session.connection is not None:
            session.connection.close()

    def expire(self, now: float) -> None:
        """Close the sessions whose time is over."""
        with self._lock:
            gone = [k for k, s in self._all.items() if not s.busy and s.expires < now]
        for key in gone:
            self._drop(key)

    def close(self) -> None:
        """Close all that serve no query."""
        self.expire(float("inf"))
