"""HTTP sessions: a connection that keeps its settings and temporary tables between requests."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from millrace.embedded.clickhouse.engine import Connection, Engine
from millrace.embedded.clickhouse.errors import refuse
from millrace.embedded.clickhouse.literals import identifier, string
from millrace.embedded.clickhouse.pool import Profile, assignments, open_with

#: Seconds that a session lives after its last query, unless the request says otherwise.
TIMEOUT = 60
#: The longest that a request may ask for, in seconds (ClickHouse's max_session_timeout).
MAX_TIMEOUT = 3600
#: Sessions kept at once.
MOST = 512


@dataclass
class Session:
    """One session. ``home`` is its own database, ``now`` the one that the connection is in."""

    connection: Connection
    home: str
    now: str
    expires: float = 0.0
    busy: bool = True
    #: The session's own values of settings that requests gave for themselves.
    own: dict[str, str | None] = field(default_factory=dict)

    def enter(self, database: str, settings: Mapping[str, str]) -> None:
        """Apply what one request asks for; raises EngineError."""
        self._use(database or self.home)
        if settings:
            self._remember(settings)
            self.connection.run(assignments(settings))

    def leave(self, settings: Mapping[str, str], *, lasting: bool) -> None:
        """Take the request's own settings back; ``lasting``: the statement was a SET or a USE."""
        if lasting:
            self.home = self.now = self.connection.text("SELECT currentDatabase()")
            self.own.clear()
        elif settings:
            values = ((name, self.own.get(name)) for name in settings)
            sets = (f"{n} = {'DEFAULT' if v is None else string(v)}" for n, v in values)
            self.connection.run("SET " + ", ".join(sets))

    def _use(self, database: str) -> None:
        if database != self.now:
            self.connection.run(f"USE {identifier(database)}")
            self.now = database

    def _remember(self, settings: Mapping[str, str]) -> None:
        unknown = [name for name in settings if name not in self.own]
        if not unknown:
            return
        names = ", ".join(string(name) for name in unknown)
        sql = f"SELECT name, value FROM system.settings WHERE changed AND name IN ({names})"
        rows = bytes(self.connection.run(sql, "TSVRaw").data).decode().splitlines()
        found = dict(row.split("\t", 1) for row in rows)
        self.own.update({name: found.get(name) for name in unknown})


class Sessions:
    """All sessions, by user and id. A session serves one query at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._all: dict[tuple[str, str], Session] = {}

    @contextmanager
    def use(
        self,
        user: str,
        name: str,
        profile: Profile,
        timeout: int,
        now: float,
        *,
        check: bool,
    ) -> Iterator[Session]:
        """Lock a session, made now if need be.

        Raises EngineError: 372 (``check`` and there is none), 373 (it serves another query), 374.
        """
        if not 0 < timeout <= MAX_TIMEOUT:
            raise refuse(
                374, f"Session timeout {timeout} is not between 1 and {MAX_TIMEOUT}."
            )
        key = (user, name)
        session = self._acquire(key, profile, check=check)
        try:
            yield session
        finally:
            session.expires = now + timeout
            session.busy = False

    def _acquire(
        self, key: tuple[str, str], profile: Profile, *, check: bool
    ) -> Session:
        with self._lock:
            session = self._all.get(key)
            if session is None:
                if check:
                    raise refuse(372, f"Session {key[1]} not found.")
                if len(self._all) >= MOST:
                    raise refuse(
                        202, "Too many sessions; close some, or wait until they expire."
                    )
                connection = open_with(self._engine, profile)
                session = Session(connection, profile.database, profile.database)
                self._all[key] = session
            elif session.busy:
                raise refuse(373, f"Session {key[1]} is locked by a concurrent client.")
            session.busy = True
            return session

    def expire(self, now: float) -> None:
        """Close the sessions whose time is over."""
        with self._lock:
            gone = [k for k, s in self._all.items() if not s.busy and s.expires < now]
            sessions = [self._all.pop(key) for key in gone]
        for session in sessions:
            session.connection.close()

    def drop(self, user: str, name: str | None = None) -> None:
        """Close a session, or all of a user, that serve no query."""
        with self._lock:
            keys = [k for k in self._all if k[0] == user and name in (None, k[1])]
            sessions = [self._all.pop(k) for k in keys if not self._all[k].busy]
        for session in sessions:
            session.connection.close()
