"""HTTP sessions: connections that keep their settings and temporary tables between requests."""

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
#: The longest timeout that a request may set, in seconds (ClickHouse's max_session_timeout).
MAX_TIMEOUT = 3600
#: Seconds that a request waits for its session. A client that has read an answer may send the next
#: query while the session's settings are still being restored.
PATIENCE = 0.25
#: The most sessions at once.
MOST = 512

_CHANGED = """
SELECT name, value FROM system.settings WHERE changed AND has({names:Array(String)}, name)
"""


@dataclass
class Session:
    """One session. ``home`` is its database, ``now`` the current database of its connection.

    Users who may only read have nothing to keep, so their session is a lock without ``connection``.
    """

    home: str
    connection: EngineConnection | None = None
    now: str = ""
    expires: float = 0.0
    busy: bool = True
    broken: bool = False
    #: The session's own values of settings that single requests have overridden.
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
        """Apply the database and settings of one request, and restore the session's afterwards.

        With ``lasting`` the statement is a SET or a USE, so its effect is the session's to keep.
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
            # The statement's result stands. The session is dropped; the next request opens another.
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
        values = dict(row.split("\t", 1) for row in rows)
        self.own.update({name: values.get(name) for name in unknown})


class Sessions:
    """All sessions, by user and id. A session runs one query at a time."""

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
        """Lock the session of a user and id, and create it if needed.

        ``timeout`` is in seconds. Raises EngineError: 202 (too many sessions), 372 (``check`` is
        set and the session does not exist), 373 (it is running another query), 374 (timeout).
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
                raise refuse(202, "Too many sessions. Close some, or wait until they expire.")
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
        """The session, once it is idle; None if it does not exist. Raises EngineError 373."""

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
        """Close the sessions that have timed out."""
        with self._lock:
            gone = [k for k, s in self._all.items() if not s.busy and s.expires < now]
        for key in gone:
            self._drop(key)

    def close(self) -> None:
        """Close all idle sessions."""
        self.expire(float("inf"))
