"""Letting a call in, or not: all its limits in one round trip to the cache, atomically.

Where the cache does not answer, calls are let in and events are held to what Postgres knows of the
day: a cache that is away must not lose anybody's data.
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
#: A day's counter outlives its day by as long as clocks may differ, and then some.
DAY_MS = 2 * 86_400_000
#: Seconds that a query may take beyond its own limit before its slot is free again.
SLOT_GRACE = 20
#: Seconds after which a caller should try again that found no slot free, or no room.
SLOT_AGAIN, STORAGE_AGAIN = 1, 300


class Called(Protocol):
    """What is asked of a caller. It may have a ``rate``, calls a minute, and with it a ``subject``:
    who else shares it.
    """

    @property
    def key_id(self) -> int: ...

    @property
    def tenant_id(self) -> int: ...


class OverLimit(Exception):
    """A limit that lets a call not in. ``again``: seconds after which it may come again."""

    def __init__(
        self, limit: str, value: int, again: int, headers: dict[str, str], reason: str = ""
    ) -> None:
        super().__init__(limit)
        self.limit, self.value, self.again = limit, value, again
        self.headers, self.reason = headers, reason


@dataclass(slots=True)
class Admission:
    """A call that was let in. ``headers`` are those of the IETF's draft on rate limits."""

    headers: dict[str, str] = field(default_factory=dict)
    given_back: tuple[bytes, ...] = ()
    slot: Slot | None = None
    keeps_slot: bool = False

    def give_back(self) -> None:
        """Let go of the slot, or give back the day's events, that the call has taken."""
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
    """One counter: the limit's name, the key's end, the limit, what the call takes of it."""

    limit: str
    suffix: str
    value: int
    cost: int = 1
    lasts: int = MINUTE_MS
    known: int = 0

    def parts(self) -> tuple[bytes, ...]:
        numbers = (self.value, self.cost, self.lasts, self.known)
        return (self.suffix.encode(), *(b"%d" % one for one in numbers))


@dataclass(frozen=True, slots=True)
class _Prepared:
    """All of a command but the script, how many calls, and the slot's name; what is answered; and
    the calls that are let in already. ``slots_at`` is the slots' key.
    """

    head: bytes
    windows: tuple[_LimitWindow, ...]
    slots: int | None
    slots_at: bytes
    policy: str
    ahead: Ahead


def admit(caller: Called, granted: Allowance, *, query: bool = False) -> Admission:
    """Count a call, and take a slot where it is a ``query``. Raises OverLimit."""
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
    """The cache is asked for the call, and where many come for some more."""
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
    """Count events, and their bytes, towards the day; ``give_back`` undoes it. Raises OverLimit."""
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
            b"*3\r\n" + pack(b"DECRBY", base + one.suffix.encode(), b"%d" % one.cost)
            for one in windows
        )
    )


def _base(tenant_id: int) -> bytes:
    """What the tenant's keys begin with; in braces, so that a cluster keeps them together."""
    return f"{settings.CACHES['default']['KEY_PREFIX']}:limits:{{{tenant_id}}}:".encode()


def _prepared(caller: Called, granted: Allowance, query: bool) -> _Prepared:
    rate = getattr(caller, "rate", None)
    shared_by = getattr(caller, "subject", "") if rate else ""
    key = (caller.key_id, query, rate, shared_by)
    found = granted.commands.get(key)
    if found is None:
        windows = _minute_windows(caller, granted, rate, shared_by)
        slots = granted.limits.concurrent_queries if query else None
        found = granted.commands[key] = _prepare(granted, windows, slots)
    return found


def _minute_windows(
    caller: Called, granted: Allowance, rate: int | None, shared_by: str
) -> tuple[_LimitWindow, ...]:
    limits = granted.limits
    found = (
        ("requests_a_minute", "minute", limits.requests_a_minute),
        ("key_requests_a_minute", f"key:{caller.key_id}", limits.key_requests_a_minute),
        ("token_rate", f"token:{caller.key_id}:{shared_by}", rate),
    )
    return tuple(_LimitWindow(*one) for one in found if one[2] is not None)  # type: ignore[arg-type]


def _day_windows(granted: Allowance, events: int, size: int) -> tuple[_LimitWindow, ...]:
    """What brokers brought counts too, and is known from Postgres alone."""
    used, limits = granted.used, granted.limits
    found = (
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
        for name, value, cost, known, brokered in found
        if value is not None
    )


def _prepare(granted: Allowance, windows: tuple[_LimitWindow, ...], slots: int | None) -> _Prepared:
    base = _base(granted.tenant_id)
    parts = [b"%d" % len(windows)]
    for one in windows:
        parts += one.parts()
    if slots is not None:
        lease = (settings.MILLRACE_QUERY_SECONDS + SLOT_GRACE) * 1000
        parts += [b"%d" % slots, b"%d" % lease]
    count = 5 + len(parts) + (slots is not None)
    first, last = (pack(*some).replace(b"%", b"%%") for some in ((b"1", base), parts))
    head = b"*%d\r\n%%b%b%%b%b" % (count, first, last)
    policies = [f'"{one.limit}";q={one.value};w={one.lasts // 1000}' for one in windows]
    if slots is not None:
        policies.append(f'"concurrent_queries";q={slots};qu="concurrent-requests"')
    kept = Ahead(tuple(base + one.suffix.encode() for one in windows))
    return _Prepared(head, windows, slots, base + b"queries", ", ".join(policies), kept)


def _ask(prepared: _Prepared, calls: int, slot: Slot | None) -> list[int]:
    number, name = pack(b"%d" % calls), pack(slot.name) if slot else b""
    try:
        answer = line.ask(prepared.head % (_EVALSHA, number) + name)
    except NoScriptError:
        answer = line.ask(prepared.head % (_EVAL, number) + name)
    return [int(one) for one in cast("bytes", answer).split()]


def _headers(prepared: _Prepared, answer: list[int]) -> dict[str, str]:
    told = [
        f'"{one.limit}";r={answer[at]};t={-(-answer[at + 1] // 1000)}'
        for one, at in zip(prepared.windows, range(1, len(answer), 2), strict=False)
    ]
    if prepared.slots is not None:
        told.append(f'"concurrent_queries";r={answer[-2]}')
    return {"RateLimit-Policy": prepared.policy, "RateLimit": ", ".join(told)}


def _refused(prepared: _Prepared, answer: list[int], headers: dict[str, str]) -> OverLimit:
    number = answer[0] - 1
    if number == len(prepared.windows):
        return OverLimit("concurrent_queries", prepared.slots or 0, SLOT_AGAIN, headers)
    window = prepared.windows[number]
    again = max(1, -(-answer[2 + 2 * number] // 1000))
    return OverLimit(window.limit, window.value, again, headers)


def _check_budgets(granted: Allowance) -> None:
    """Rows and bytes read are known after a query alone: the day's budget ends with the next."""
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
    """The answer by what Postgres knows, of a second ago."""
    for number, one in enumerate(windows, 1):
        if one.known + one.cost > one.value:
            return [number]
    return [0]
