"""A pool of connections to the engine by their settings, and a limit on statements at once.

A new connection costs 0.4 ms and each SET 0.2 ms, while a small query costs 0.65 ms. So a
connection returns to the pool with its settings, and serves the next request for exactly the same
settings. Settings that differ in each request are SET before the statement; an insert has them in
its own SETTINGS clause.
"""

from __future__ import annotations

import re
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from millrace.embedded.clickhouse.engine import Engine, EngineConnection
from millrace.embedded.clickhouse.errors import EngineError, refuse
from millrace.embedded.clickhouse.users import User
from tenants.warehouse.quoting import identifier, string

#: Settings that differ in each request, so connections are not kept by them.
_VOLATILE = ("insert_deduplication_token", "log_comment")
_SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z")


@dataclass(frozen=True)
class Profile:
    """The state of a connection: role, database, settings (names and values), and ``readonly``.

    ``readonly`` is ClickHouse's setting: 0, 1 (no writes, no settings) or 2 (no writes).
    """

    role: str
    database: str
    settings: tuple[tuple[str, str], ...] = ()
    readonly: int = 0


def assignments(settings: Mapping[str, str] | tuple[tuple[str, str], ...]) -> str:
    """A SET statement; raises EngineError 115 for a name that can't be a setting's."""
    pairs = settings.items() if isinstance(settings, Mapping) else settings
    for name, _ in pairs:
        if not _SETTING.match(name):
            raise refuse(115, f"Unknown setting {name!r}.")
    return "SET " + ", ".join(f"{name} = {string(value)}" for name, value in pairs)


def open_with(engine: Engine, profile: Profile) -> EngineConnection:
    """Open a connection and set it to ``profile``; raises EngineError."""
    connection = engine.connect()
    try:
        if profile.database:
            connection.run(f"USE {identifier(profile.database)}")
        if profile.settings:
            connection.run(assignments(profile.settings))
        connection.run(f"SET ROLE {profile.role}")
        if profile.readonly:
            connection.run(f"SET readonly = {profile.readonly}")
    except EngineError:
        connection.close()
        raise
    return connection


@dataclass
class Borrowed:
    """A connection in use. Set ``spent`` if it must not be used again."""

    connection: EngineConnection
    volatile: tuple[tuple[str, str], ...] = ()
    spent: bool = field(default=False)


class Slots:
    """The limit on statements that run at once, in total and for each user.

    A user's statements get at most half of the slots, unless ``most`` is set for that user. Those
    of all users together leave a quarter to the administrator, who inserts the batches.
    """

    def __init__(self, count: int, patience: float) -> None:
        self._count, self._patience = count, patience
        self._for_users, self._share = count - count // 4, count // 2
        self._running: Counter[str] = Counter()
        self._of_users = 0
        self._changed = threading.Condition()

    @contextmanager
    def one(self, user: User, most: int = 0) -> Iterator[None]:
        """Hold a slot; raises EngineError 202 if none becomes free in time.

        ``most`` is ClickHouse's ``max_concurrent_queries_for_user``. A statement above it is
        refused immediately, as a server does. With 0, only the user's share limits.
        """
        with self._changed:
            if most and self._running[user.name] >= most:
                raise refuse(202, _too_many(user, self._running[user.name], most))
            if not self._changed.wait_for(lambda: self._is_free(user, most), self._patience):
                raise refuse(202, "Too many simultaneous queries; try again later.")
            self._count_in(user, 1)
        try:
            yield
        finally:
            with self._changed:
                self._count_in(user, -1)
                self._changed.notify_all()

    def _is_free(self, user: User, most: int) -> bool:
        if self._running.total() >= self._count:
            return False
        share = most or self._share
        return user.admin or (self._of_users < self._for_users and self._running[user.name] < share)

    def _count_in(self, user: User, change: int) -> None:
        self._running[user.name] += change
        if not self._running[user.name]:
            del self._running[user.name]
        if not user.admin:
            self._of_users += change


def _too_many(user: User, running: int, most: int) -> str:
    return (
        f"Too many simultaneous queries for user {user.name}. Current: {running}, maximum: {most}."
    )


class Pool:
    """Idle connections by profile; the least recently used are closed first."""

    def __init__(self, engine: Engine, idle: int) -> None:
        self._engine = engine
        self._most = idle
        self._lock = threading.Lock()
        self._idle: OrderedDict[Profile, list[Borrowed]] = OrderedDict()
        self._count = 0

    @contextmanager
    def connection(self, profile: Profile) -> Iterator[Borrowed]:
        """Lend a connection with ``profile`` for one statement; raises EngineError."""
        plain, volatile = split_profile(profile)
        borrowed = self._take(plain) or Borrowed(open_with(self._engine, plain))
        borrowed.spent = True
        try:
            _set_volatile(borrowed, volatile)
            borrowed.spent = False
            yield borrowed
        except EngineError:
            raise
        except BaseException:
            borrowed.spent = True
            raise
        finally:
            self._give(plain, borrowed)

    def _take(self, profile: Profile) -> Borrowed | None:
        with self._lock:
            idle = self._idle.get(profile)
            if not idle:
                return None
            self._count -= 1
            return idle.pop()

    def _give(self, profile: Profile, borrowed: Borrowed) -> None:
        gone = [borrowed] if borrowed.spent else []
        if not borrowed.spent:
            with self._lock:
                self._idle.setdefault(profile, []).append(borrowed)
                self._idle.move_to_end(profile)
                self._count += 1
                gone = self._surplus()
        for surplus in gone:
            surplus.connection.close()

    def _surplus(self) -> list[Borrowed]:
        gone: list[Borrowed] = []
        while self._count > self._most:
            oldest = next(iter(self._idle))
            if self._idle[oldest]:
                gone.append(self._idle[oldest].pop())
                self._count -= 1
            if not self._idle[oldest]:
                del self._idle[oldest]
        return gone

    def forget(self, role: str | None = None) -> None:
        """Close idle connections, of one role or of all."""
        with self._lock:
            profiles = [p for p in self._idle if role is None or p.role == role]
            gone = [idle for profile in profiles for idle in self._idle.pop(profile)]
            self._count -= len(gone)
        for idle in gone:
            idle.connection.close()


def without_result_limits(profile: Profile) -> Profile:
    """The same profile without limits on the rows and bytes of a result."""
    kept = (pair for pair in profile.settings if not pair[0].startswith("max_result_"))
    return replace(profile, settings=tuple(kept))


def split_profile(profile: Profile) -> tuple[Profile, tuple[tuple[str, str], ...]]:
    """Split a profile into one without volatile settings, and the volatile settings."""
    if profile.readonly or not any(name in _VOLATILE for name, _ in profile.settings):
        return profile, ()
    volatile = tuple(pair for pair in profile.settings if pair[0] in _VOLATILE)
    plain = tuple(pair for pair in profile.settings if pair[0] not in _VOLATILE)
    return Profile(profile.role, profile.database, plain), volatile


def _set_volatile(borrowed: Borrowed, settings: tuple[tuple[str, str], ...]) -> None:
    if settings == borrowed.volatile:
        return
    # Also clears the previous request's settings, such as its token.
    values = dict.fromkeys((name for name, _ in borrowed.volatile), "")
    borrowed.connection.run(assignments({**values, **dict(settings)}))
    borrowed.volatile = settings
