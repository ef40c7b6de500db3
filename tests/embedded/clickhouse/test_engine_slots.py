"""How many statements run at once: of all, of one user, and what is left to the administrator."""

from __future__ import annotations

import hashlib
import threading
import time
import uuid
from contextlib import ExitStack
from typing import Any

import pytest

from millrace.embedded.clickhouse.errors import EngineError
from millrace.embedded.clickhouse.pool import Slots
from millrace.embedded.clickhouse.users import User

ADMIN, ANN, BOB, EVE = (User(name, "", admin=name == "admin") for name in ("admin", *"abe"))
SLOW = "SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sqrt(number))"
COUNT, PATIENCE = 32, 0.05


@pytest.fixture
def slots() -> Slots:
    return Slots(COUNT, PATIENCE)


def taken(slots: Slots, held: ExitStack, user: User, most: int = 0) -> int:
    """How many slots a user gets."""
    for number in range(COUNT + 1):
        try:
            held.enter_context(slots.one(user, most))
        except EngineError:
            return number
    raise AssertionError


def test_one_user_leaves_slots_to_others_and_all_leave_some_to_the_administrator(
    slots: Slots,
) -> None:
    with ExitStack() as held:
        assert taken(slots, held, ANN) == 16
        assert taken(slots, held, BOB) == 8
        assert taken(slots, held, EVE) == 0
        assert taken(slots, held, ADMIN) == 8
    with ExitStack() as held:
        assert taken(slots, held, EVE) == 16
        assert taken(slots, held, ADMIN) == 16


def test_the_administrator_may_have_all(slots: Slots) -> None:
    with ExitStack() as held:
        assert taken(slots, held, ADMIN) == COUNT


def test_a_users_own_limit_is_refused_at_once(slots: Slots) -> None:
    patient = Slots(COUNT, 60)
    with ExitStack() as held:
        began = time.monotonic()
        assert taken(patient, held, ANN, most=2) == 2
        assert time.monotonic() - began < 5
        with pytest.raises(EngineError, match=r"user a\. Current: 2, maximum: 2") as refused:
            held.enter_context(patient.one(ANN, 2))
        assert refused.value.code == 202
    with ExitStack() as held:
        assert taken(slots, held, ANN, most=20) == 20


def test_a_slot_that_is_given_back_wakes_who_waits() -> None:
    slots, done = Slots(COUNT, 10), threading.Event()

    def one_more() -> None:
        with slots.one(ANN):
            done.set()

    with ExitStack() as held:
        for _ in range(COUNT // 2):
            held.enter_context(slots.one(ANN))
        threading.Thread(target=one_more, daemon=True).start()
        assert not done.wait(0.1)
    assert done.wait(5)


def test_a_limit_of_a_users_profile_holds_for_it_alone(engine: Any) -> None:
    """As a server: code 202, while others, and the administrator, go on."""
    digest = hashlib.sha256(b"secret").hexdigest()
    limit = "max_concurrent_queries_for_user = 2 READONLY, max_threads = 1"
    for name, settings in (("held", limit), ("free", "max_threads = 1")):
        for sql in (
            f"CREATE DATABASE IF NOT EXISTS {name}",
            f"CREATE USER {name} IDENTIFIED WITH sha256_hash BY '{digest}' DEFAULT DATABASE {name}",
            f"CREATE SETTINGS PROFILE {name} SETTINGS {settings}",
            f"ALTER USER {name} SETTINGS PROFILE {name}",
            f"GRANT SELECT ON {name}.* TO {name}",
        ):
            assert engine.http(sql).status == 200, sql
    own, other = ({"user": name, "password": "secret"} for name in ("held", "free"))
    ids = [uuid.uuid4().hex for _ in range(2)]
    running = [
        threading.Thread(target=lambda one=one: engine.http(SLOW, query_id=one, **own))
        for one in ids
    ]
    try:
        for thread in running:
            thread.start()
        deadline = time.monotonic() + 120
        while (answer := engine.http("SELECT 1", **own)).status == 200:
            assert time.monotonic() < deadline
        assert answer.code == 202
        assert b"Current: 2, maximum: 2" in answer.body
        assert engine.http("SELECT 1", **own, max_concurrent_queries_for_user=9).code == 452
        assert engine.http("SELECT 1", **other).status == 200
        assert engine.http("SELECT 1").status == 200
    finally:
        for one in ids:
            engine.http(f"KILL QUERY WHERE query_id = '{one}'")
        for thread in running:
            thread.join(120)
    assert engine.http("SELECT 1", **own).status == 200
    for name in ("held", "free"):
        assert engine.http(f"DROP USER {name}").status == 200
