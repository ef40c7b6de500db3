"""Admits or refuses calls: checks all limits atomically, in one round trip to the cache.

If the cache does not answer, calls are admitted, and events are limited by what Postgres knows of
the day: an outage of the cache must not lose data.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

from django.conf import settings
from django.utils import timezone
from redis.exceptions import NoScriptError

from tenants.plans import ahead, line
from tenants.plans.ahead import Ahead, Slot
from tenants.plans.allowance import Allowance, midnight
from tenants.plans.line import CacheAway, pack

_SCRIPT = (Path(__file__).parent / "admit.lua").read_bytes()
_EVAL = pack(b"EVAL", _SCRIPT)
_EVALSHA = pack(b"EVALSHA", hashlib.sha1(_SCRIPT, usedforsecurity=False).hexdigest().encode())
MINUTE_MS = 60_000
#: A day's counter lives longer than its day, by more than clocks may differ.
DAY_MS = 2 * 86_400_000
#: Seconds beyond a query's time limit after which its slot becomes free by itself.
SLOT_GRACE = 20
#: Retry-After in seconds when no slot is free, and when the storage is full.
SLOT_AGAIN, STORAGE_AGAIN = 1, 300


class Called(Protocol):
    """What admission needs of a caller.

    A caller may also have ``rate``, calls a minute, and ``subject``: callers with the same key and
    subject share the rate.
    """

    @property
    def key_id(self) -> int: ...

    @property
    def tenant_id(self) -> int: ...


class OverLimit(Exception):
    """The limit that refused the call. ``again``: seconds after which to try again."""

    def __init__(
        self, limit: str, value: int, again: int, headers: dict[str, str], reason: str = ""
    ) -> None:
        super().__init__(limit)
        self.limit, self.value, self.again = limit, value, again
        self.headers, self.reason = headers, reason


@dataclass(slots=True)
class Admission:
    """An admitted call. ``headers`` follow the IETF draft on rate-limit headers."""

    headers: dict[str, str] = field(default_factory=dict)
    given_back: tuple[bytes, ...] = ()
    slot: Slot | None = None
    keeps_slot: bool = False

    def give_back(self) -> None:
        """Release the slot or the day's events that the call has taken."""
        slot, self.slot = self.slot, None
        if slot is not None:
            if self.keeps_slot:
                slot.keep()
            else:
                slot.free()
        if self.given_back:
            line.tell(*self.given_back)
            self.given_back = ()


_FREELY = Admission()


@dataclass(frozen=True, slots=True)
class _LimitWindow:
    """One counter of a limit.

    ``suffix`` ends the counter's key, ``cost`` is what a call takes, ``lasts`` is in milliseconds,
    ``known`` is what other counters have used.
    """

    limit: str
    suffix: str
    value: int
    cost: int = 1
    lasts: int = MINUTE_MS
    known: int = 0

    def parts(self) -> tuple[bytes, ...]:
        numbers = (self.value, self.cost, self.lasts, self.known)
        return (self.suffix.encode(), *(b"%d" % number for number in numbers))


@dataclass(frozen=True, slots=True)
class _Prepared:
    """The parts of a command that are the same for all calls of a kind.

    ``head`` is the command without the script, the number of calls and the slot's name;
    ``slots_at`` is the key of the slots; ``policy`` is a response header; ``ahead`` has calls that
    are already admitted.
    """

    head: bytes
    windows: tuple[_LimitWindow, ...]
    slots: int | None
    slots_at: bytes
    policy: str
    ahead: Ahead


def admit(caller: Called, granted: Allowance, *, query: bool = False) -> Admission:
    """Count a call and, for a ``query``, take a slot. Raises OverLimit."""
    if query:
        _check_budgets(granted)
    prepared = _prepared(caller, granted, query)
    if not prepared.windows and prepared.slots is None:
        return _FREELY
    now = time.monotonic()
    slot = None
    if prepared.slots is not None:
        slot = ahead.kept_slot(prepared.slots_at, now)
    if slot is not None or prepared.slots is None:
        answer = prepared.ahead.take(now)
        if answer is not None:
            return _admission(prepared, answer, slot)
    try:
        return _asked(prepared, slot, now)
    except CacheAway:
        return _FREELY


def _asked(prepared: _Prepared, slot: Slot | None, now: float) -> Admission:
    """Ask the cache to admit the call and, if the caller is busy, some calls ahead."""
    held = slot is not None
    if prepared.slots is not None:
        slot = slot or ahead.new_slot(prepared.slots_at, now)
        slot.asked_at = now
    number = prepared.ahead.number(now)
    answer = _ask(prepared, number, slot)
    if answer[0] and number > 1:
        number, answer = 1, _ask(prepared, 1, slot)
    if answer[0]:
        if slot is not None and held:
            slot.free()
        raise _refused(prepared, answer, _headers(prepared, answer))
    return _admission(prepared, prepared.ahead.let_in(number, answer, now), slot)


def _admission(prepared: _Prepared, answer: list[int], slot: Slot | None) -> Admission:
    keeps = prepared.slots is not None and 2 * answer[-2] > prepared.slots
    return Admission(_headers(prepared, answer), slot=slot, keeps_slot=keeps)


def take_in(granted: Allowance, events: int, size: int) -> Admission:
    """Count events and their bytes for the day; ``give_back`` undoes it. Raises OverLimit."""
    if granted.storage_full:
        value = granted.limits.storage_bytes or 0
        raise OverLimit("storage_bytes", value, STORAGE_AGAIN, {}, granted.storage_full)
    windows = _day_windows(granted, events, size)
    if not windows:
        return _FREELY
    prepared = _prepare(granted, windows, None)
    try:
        answer = _ask(prepared, 1, None)
    except CacheAway:
        answer = _guessed(windows)
    if answer[0]:
        limit = windows[answer[0] - 1].limit
        raise _over_day(granted, limit)
    base = _base(granted.tenant_id)
    return Admission(
        given_back=tuple(
            b"*3\r\n" + pack(b"DECRBY", base + window.suffix.encode(), b"%d" % window.cost)
            for window in windows
        )
    )


def _base(tenant_id: int) -> bytes:
    """The prefix of the tenant's keys; a cluster keeps keys with the same braces on one node."""
    return f"{settings.CACHES['default']['KEY_PREFIX']}:limits:{{{tenant_id}}}:".encode()


def _prepared(caller: Called, granted: Allowance, query: bool) -> _Prepared:
    rate = getattr(caller, "rate", None)
    shared_by = getattr(caller, "subject", "") if rate else ""
    key = (caller.key_id, query, rate, shared_by)
    prepared: _Prepared | None = granted.commands.get(key)
    if prepared is None:
        windows = _minute_windows(caller, granted, rate, shared_by)
        slots = granted.limits.concurrent_queries if query else None
        prepared = granted.commands[key] = _prepare(granted, windows, slots)
    return prepared


def _minute_windows(
    caller: Called, granted: Allowance, rate: int | None, shared_by: str
) -> tuple[_LimitWindow, ...]:
    limits = granted.limits
    minutes = (
        ("requests_a_minute", "minute", limits.requests_a_minute),
        ("key_requests_a_minute", f"key:{caller.key_id}", limits.key_requests_a_minute),
        ("token_rate", f"token:{caller.key_id}:{shared_by}", rate),
    )
    return tuple(
        _LimitWindow(limit, suffix, value) for limit, suffix, value in minutes if value is not None
    )


def _day_windows(granted: Allowance, events: int, size: int) -> tuple[_LimitWindow, ...]:
    """The day's counters. Events from brokers count too; only Postgres knows them."""
    used, limits = granted.used, granted.limits
    days = (
        ("events_a_day", limits.events_a_day, events, used.events, used.brokered_events),
        ("bytes_a_day", limits.bytes_a_day, size, used.bytes, used.brokered_bytes),
    )
    return tuple(
        _LimitWindow(
            name,
            f"{granted.day}:{name}",
            max(0, value - brokered),
            cost=cost,
            lasts=DAY_MS,
            known=known - brokered,
        )
        for name, value, cost, known, brokered in days
        if value is not None
    )


def _prepare(granted: Allowance, windows: tuple[_LimitWindow, ...], slots: int | None) -> _Prepared:
    base = _base(granted.tenant_id)
    parts = [b"%d" % len(windows)]
    for window in windows:
        parts += window.parts()
    if slots is not None:
        lease = (settings.MILLRACE_QUERY_SECONDS + SLOT_GRACE) * 1000
        parts += [b"%d" % slots, b"%d" % lease]
    count = 5 + len(parts) + (slots is not None)
    first, last = (pack(*some).replace(b"%", b"%%") for some in ((b"1", base), parts))
    head = b"*%d\r\n%%b%b%%b%b" % (count, first, last)
    policies = [f'"{window.limit}";q={window.value};w={window.lasts // 1000}' for window in windows]
    if slots is not None:
        policies.append(f'"concurrent_queries";q={slots};qu="concurrent-requests"')
    ahead_calls = Ahead(tuple(base + window.suffix.encode() for window in windows))
    return _Prepared(head, windows, slots, base + b"queries", ", ".join(policies), ahead_calls)


def _ask(prepared: _Prepared, calls: int, slot: Slot | None) -> list[int]:
    number, name = pack(b"%d" % calls), pack(slot.name) if slot else b""
    try:
        answer = line.ask(prepared.head % (_EVALSHA, number) + name)
    except NoScriptError:
        answer = line.ask(prepared.head % (_EVAL, number) + name)
    return [int(number) for number in cast("bytes", answer).split()]


def _headers(prepared: _Prepared, answer: list[int]) -> dict[str, str]:
    items = [
        f'"{window.limit}";r={answer[at]};t={-(-answer[at + 1] // 1000)}'
        for window, at in zip(prepared.windows, range(1, len(answer), 2), strict=False)
    ]
    if prepared.slots is not None:
        items.append(f'"concurrent_queries";r={answer[-2]}')
    return {"RateLimit-Policy": prepared.policy, "RateLimit": ", ".join(items)}


def _refused(prepared: _Prepared, answer: list[int], headers: dict[str, str]) -> OverLimit:
    number = answer[0] - 1
    if number == len(prepared.windows):
        return OverLimit("concurrent_queries", prepared.slots or 0, SLOT_AGAIN, headers)
    window = prepared.windows[number]
    again = max(1, -(-answer[2 + 2 * number] // 1000))
    return OverLimit(window.limit, window.value, again, headers)


def _check_budgets(granted: Allowance) -> None:
    """Raise OverLimit if the day's rows or bytes are used up.

    What a query reads is known only after it, so the query that exceeds a budget still runs, and
    the next one is refused.
    """
    limits, used = granted.limits, granted.used
    if limits.rows_read_a_day is not None and used.rows_read >= limits.rows_read_a_day:
        raise _over_day(granted, "rows_read_a_day")
    if limits.bytes_read_a_day is not None and used.bytes_read >= limits.bytes_read_a_day:
        raise _over_day(granted, "bytes_read_a_day")


def _over_day(granted: Allowance, limit: str) -> OverLimit:
    left = (midnight(granted.day) - timezone.now()).total_seconds()
    value: int = getattr(granted.limits, limit)
    headers = {
        "RateLimit-Policy": f'"{limit}";q={value};w=86400',
        "RateLimit": f'"{limit}";r=0;t={max(1, int(left) + 1)}',
    }
    return OverLimit(limit, value, max(1, int(left) + 1), headers)


def _guessed(windows: tuple[_LimitWindow, ...]) -> list[int]:
    """The answer according to Postgres, which is up to a second old."""
    for number, window in enumerate(windows, 1):
        if window.known + window.cost > window.value:
            return [number]
    return [0]
