"""Named cases: what breaks naive pipelines, one at a time; every event is counted after each.

They share one installation, each with numbers of its own. CHAOS_OUTAGE_SECONDS says how long
ClickHouse is away in the case of that name.
"""

from __future__ import annotations

import itertools
import os
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import pytest

from tests.chaos.harness.case import WIDE, Case, case
from tests.chaos.harness.columns import edit_columns, leave_out_everywhere
from tests.chaos.harness.faults import INSERT, faults
from tests.chaos.harness.grounds import (
    DATABASE,
    KAFKA_PARTITIONS,
    Grounds,
    assert_books_balance,
    grounds,
    tables_of,
)
from tests.chaos.harness.mending import replay_and_kill
from tests.chaos.harness.sabotage import HALF, KILLS
from tests.chaos.harness.senders import IS_SHORT, body
from tests.chaos.harness.stopped import leases, stopped_in_mid_insert
from tests.chaos.harness.storm import Storm
from tests.chaos.harness.worker import Revival, Worker

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1500)]
#: Faults of the short storm.
FEW = 10
OUTAGE_SECONDS = float(os.environ.get("CHAOS_OUTAGE_SECONDS", "30"))
QUEUES = ("classic", "quorum")
ALL = ("kafka", *QUEUES, "logged")


@pytest.fixture(scope="module")
def made(installation: Any) -> Iterator[Grounds]:
    with grounds(installation) as made:
        yield made


@pytest.fixture(autouse=True)
def healed(made: Grounds) -> Iterator[None]:
    """What a case has left broken, as it failed, is no matter of the next one."""
    yield
    for worker in made.workers:
        worker.signal(signal.SIGCONT)
    for network in (
        *made.networks.values(),
        *(n for w in made.workers for n in w.networks.values()),
    ):
        network.heal()


def error_of(made: Grounds, source: str) -> str:
    return str(made.postgres(f"SELECT error FROM ingestion_source WHERE name = '{source}'")[0][0])


# --- The storm and its oracle -----------------------------------------------------------------


def test_a_few_faults_at_random(made: Grounds) -> None:
    """The short form of test_storm.py, which repeats it: CHAOS_FAULTS=10 CHAOS_SEED=…"""
    report = Storm(made, secrets.randbelow(2**31) + 1).rage(FEW)
    print(report)  # noqa: T201 - what the run is for
    assert report.tried.total() == FEW
    assert report.is_good


def test_the_oracle_sees_what_an_early_acknowledgement_loses(made: Grounds) -> None:
    """The short form of test_storm_itself.py, on a stream of its own: its books stay wrong."""
    made.add_topics(("chaos", "broken", KAFKA_PARTITIONS))
    worker = Worker(made, 40, "early_acknowledgement")
    with (
        made.instead(worker),
        case(made, "acknowledged early", "broken", patience=8, is_good=False) as one,
    ):
        for _ in range(2):
            strike(made, "clickhouse killed", 1)
            one.goes_on()
    assert sum(verdict.lost for verdict in one.verdicts) > 0


# --- Tables -----------------------------------------------------------------------------------


def test_columns_are_edited_while_workers_are_killed(made: Grounds) -> None:
    """A batch that is repeated is typed as it was, whatever the table has become meanwhile.

    A replay of the quarantine, killed again and again, moves each message once.
    """
    chance = Random(7)
    edits = ["demand", "widen", "describe", "forced", "compute", "refused", "offer", "leave out"]
    if IS_SHORT:
        edits = edits[:4]
    with case(made, "columns edited, workers killed", *ALL) as one:
        tables = itertools.cycle(one.tables)
        for number, kind in enumerate(edits):
            worker = made.workers[number % len(made.workers)]
            edit_columns(made, next(tables), number, kind)
            time.sleep(chance.uniform(0.0, 1.0))
            worker.kill()
            worker.start()
        leave_out_everywhere(made, one.tables)
        # What "demand" has put into quarantine fits again.
        replay_and_kill(made, one.tables[0], chance, 2 if IS_SHORT else 10)
        one.struck()
        one.goes_on()
    assert_books_balance(made, one.tables)


# --- ClickHouse -------------------------------------------------------------------------------


def test_the_reply_of_an_insert_is_lost_after_it_landed(made: Grounds) -> None:
    with case(made, "reply of an insert lost", *ALL) as one:
        proxies = [worker.networks["clickhouse"] for worker in made.workers]
        dropped = sum(proxy.dropped for proxy in proxies)

        for proxy in proxies:
            proxy.drop_replies(INSERT)
        made.await_(lambda: sum(p.dropped for p in proxies) > dropped, "no reply was lost")
        time.sleep(1)
        for proxy in proxies:
            proxy.heal()
        one.struck()
        one.goes_on()


@pytest.mark.long
def test_an_outage_longer_than_the_window(made: Grounds) -> None:
    """The engine has forgotten the tokens of what landed; the rows themselves tell."""
    tables = tables_of("kafka")
    with case(made, "outage longer than the dedup window", "kafka") as one:
        forgotten = _killed_after_landing(made)
        while not forgotten:  # another had brought it to its end by then
            for worker in made.workers:
                worker.start()
            forgotten = _killed_after_landing(made)
        made.set_window(tables, 1)
        for number in range(3):
            _insert_by_hand(made, number)
        made.postgres(
            "UPDATE ingestion_batch SET opened_at = opened_at - interval '13 hours' "
            "WHERE state = 'intent'"
        )
        for worker in made.workers:
            worker.start()
        one.struck()
        made.await_(lambda: not _landed_intents(made).intersection(forgotten), "not recovered")
        made.set_window(tables, 10_000)


def _killed_after_landing(made: Grounds) -> set[str]:
    """Tokens of batches that landed before all workers were killed, and are open still.

    Only the table's own insert goes unheard: a batch needs others before it, since the texts of
    these messages look like digits, and are left over by the views.
    """
    for worker in made.workers:
        worker.networks["clickhouse"].drop_replies(f"INSERT INTO `{DATABASE}`.`kafka`".encode())
    made.await_(lambda: bool(_landed_intents(made)), "nothing landed")
    for worker in made.workers:
        worker.kill()
        worker.networks["clickhouse"].heal()
    return _landed_intents(made)


def _landed_intents(made: Grounds) -> set[str]:
    """Tokens of batches that are there, and which nobody knows to be done.

    Of one that goes past the views the quarantine is inserted first, and its reply is lost already.
    """
    tokens = [
        str(row[0])
        for row in made.postgres("SELECT token FROM ingestion_batch WHERE state = 'intent'")
    ]
    if not tokens:
        return set()
    listed = ", ".join(f"'{one}'" for one in tokens)
    return {
        row["_batch"]
        for table in ("kafka", "kafka__quarantine")
        for row in made.query(
            f"SELECT DISTINCT _batch FROM {DATABASE}.{table} WHERE _batch IN ({listed})"
        )
    }


def _insert_by_hand(made: Grounds, number: int) -> None:
    """Blocks of somebody else, one for each partition of the table."""
    made.query(
        f"INSERT INTO {DATABASE}.kafka (part, seq, text, n) "
        "SELECT 9, number, '', 1 FROM numbers(5) "
        f"SETTINGS insert_deduplication_token = 'by hand {number}', async_insert = 0"
    )


def test_an_owner_that_is_stopped_past_its_lease_wakes(made: Grounds) -> None:
    """Its insert is on its way meanwhile, and arrives after another has recovered the batch.

    test_late_insert_of_a_queue.py waits longer, until RabbitMQ has given the owner up as well.
    """
    with case(made, "owner stopped past its lease", *ALL) as one:
        owner = next(w for w in itertools.cycle(made.workers) if stopped_in_mid_insert(made, w))
        made.await_(lambda: not leases(made, owner), "its leases do not expire")
        one.goes_on()
        owner.networks["clickhouse"].heal()
        owner.signal(signal.SIGCONT)
        one.struck()
        one.goes_on(more=100)


#: What a worker may hold over what it has at rest: in each slice four batches of 32 MiB
#: (pace.held_bytes), a copy of two that are being inserted, the client's queue of 64 MiB.
HELD_BYTES = (4 + 2) * 32 * 1024**2 + 64 * 1024**2
#: Bytes that a worker has in memory at the most, as the memory rows of docs/benchmarks.md say.
MOST_BYTES = 2 * 1024**3


@pytest.mark.long
def test_while_clickhouse_is_down_a_worker_holds_little_and_then_catches_up(made: Grounds) -> None:
    """Meanwhile several times as much is sent as a worker may hold."""
    filling = b"x" * 3_000

    def large(part: int, seq: int) -> bytes:
        return body(part, seq).replace(b'"text":"', b'"text":"' + filling)

    rate = max(0.1, min(1.5, 4.5 * 30 / OUTAGE_SECONDS / 3))
    with case(
        made,
        f"ClickHouse down for {OUTAGE_SECONDS:.0f} s",
        "kafka",
        rate=rate,
        body=large,
    ) as one:
        base = max(worker.resident_bytes for worker in made.workers)
        made.running.stack.halt("clickhouse")
        peak, sent = _watched(made, base, OUTAGE_SECONDS), one.senders[0].total
        assert "does not answer" in error_of(made, "kafka")
        made.running.stack.start(["clickhouse"])
        one.struck()
        later = [base]
        one.senders[0].end()
        made.await_(
            lambda: one.landed(one.senders[0]) >= sent or _note(made, later), "not caught up", 600
        )
    assert sent * len(filling) > 1.5 * HELD_BYTES
    for when, most in (("while it was down", max(peak)), ("catching up", max(later))):
        more, all_told = (most - base) / 1024**2, most / 1024**2
        print(f"    a worker held {more:.0f} MiB more {when}, {all_told:,.0f} MiB in all")  # noqa: T201
    assert max(peak) < base + HELD_BYTES
    assert max(later) < MOST_BYTES


def _watched(made: Grounds, base: int, seconds: float) -> list[int]:
    peak, deadline = [base], time.monotonic() + seconds
    while time.monotonic() < deadline:
        _note(made, peak)
        time.sleep(0.5)
    return peak


def _note(made: Grounds, peak: list[int]) -> bool:
    peak.extend(worker.resident_bytes for worker in made.workers)
    return False


@pytest.mark.long
def test_too_many_parts(made: Grounds) -> None:
    table = f"{DATABASE}.kafka"
    with case(made, "too many parts", "kafka") as one:
        made.query(f"SYSTEM STOP MERGES {table}")
        made.query(
            f"ALTER TABLE {table} MODIFY SETTING parts_to_throw_insert = 1, "
            "parts_to_delay_insert = 1000000"
        )
        made.await_(lambda: "parts" in error_of(made, "kafka"), "the source does not say it")
        assert "Too many parts" in error_of(made, "kafka")
        made.query(
            f"ALTER TABLE {table} RESET SETTING parts_to_throw_insert, parts_to_delay_insert"
        )
        made.query(f"SYSTEM START MERGES {table}")
        one.struck()
        one.goes_on()


# --- Brokers ----------------------------------------------------------------------------------


@pytest.mark.long
def test_half_open_connections_and_brokers_that_start_again(made: Grounds) -> None:
    """Nobody tells the workers that their connections are gone: they find out."""
    with case(made, "half-open connections, brokers restarted", *ALL) as one:
        services = ("kafka", "rabbitmq") if made.with_rabbitmq else ("kafka",)
        for service in services:
            assert made.networks[service].strand() > 0
            made.running.stack.restart(service)
        one.struck()
        one.goes_on()


@pytest.mark.long
def test_one_poison_message_in_a_thousand(made: Grounds) -> None:
    poison = itertools.cycle(
        [b"\xff\xfe\x00", b"[" * 10_000, b"9" * 100_000, b'"' + b"\\ud800" * 1000, b"\x00}", b""]
    )
    sent: list[bytes] = []

    def poisonous(part: int, seq: int) -> bytes:
        head = f'{{"part":{part},"seq":{seq},"text":"x","n":'.encode()
        if seq % 1000 != 500:
            return head + b"1}"
        sent.append(head + next(poison))
        return sent[-1]

    with case(made, "one poison message in 1,000", "kafka", *QUEUES, rate=2, body=poisonous) as one:
        made.await_(lambda: min(s.total for s in one.senders) > 2_000, "the senders are slow")
    base = one.senders[0].base
    held = sum(
        made.query(
            f"SELECT count() AS c FROM {DATABASE}.{name}__quarantine "
            f"WHERE toUInt32(extract(raw, '\"part\":([0-9]+)')) BETWEEN {base} AND {base + 99}"
        )[0]["c"]
        for name in one.tables
    )
    assert held == len(sent) > 6


@pytest.mark.long
def test_half_of_a_batch_comes_again(made: Grounds) -> None:
    """What landed and was not acknowledged; and what another consumer took and gave back."""
    if not made.with_rabbitmq:
        pytest.skip("There is no RabbitMQ on this machine.")
    worker = Worker(made, 10, "half_acknowledged")
    with made.instead(worker), case(made, "half of a batch requeued", *QUEUES) as one:
        for name in QUEUES:
            made.take_and_give_back(name, 100)
        made.await_(lambda: worker.log.read_text().count(HALF) >= 4, "no batch was halved")
        one.struck()
        one.goes_on(100)


# --- Postgres ---------------------------------------------------------------------------------


def strike(made: Grounds, kind: str, seconds: float = 3) -> None:
    found = [one for one in faults(made) if one.kind == kind]
    if not found:
        pytest.skip("Only root can make a small file system.")
    found[0].strike(seconds)


@pytest.mark.long
def test_the_disk_of_postgres_is_full(made: Grounds) -> None:
    if "postgres" not in made.small_disks:
        pytest.skip("Only root can make a small file system.")
    with case(made, "disk of Postgres full", *ALL) as one:
        strike(made, "disk of postgres full")
        one.struck()
        one.goes_on()


@pytest.mark.long
def test_postgres_is_restarted_in_mid_slice(made: Grounds) -> None:
    with case(made, "Postgres restarted", *ALL) as one:
        made.await_(lambda: any(leases(made, worker) for worker in made.workers), "no slice")
        made.running.stack.restart("postgres")
        strike(made, "postgres killed")
        one.struck()
        one.goes_on()


# --- Workers ----------------------------------------------------------------------------------


@pytest.mark.long
def test_workers_come_and_go_under_load(made: Grounds) -> None:
    """Each that comes gets its part of what waits, with nothing configured.

    More is sent than three of them can read (sabotage.SLOW), and less than four can.
    """
    made.add_topics(("chaos", "wide", WIDE))
    first, *others = (Worker(made, 20 + number, "reads_slowly", threads=2) for number in range(4))
    workers = [first, *others]
    with case(made, "workers come and go", "wide", rate=0.6) as one, made.instead(first):
        made.await_(lambda: leases(made, first) >= WIDE, "one worker does not take all")
        with _also(others):
            _each_has_leases(made, workers)
            for worker, leave in zip(workers, (Worker.kill, Worker.terminate) * 2, strict=True):
                leave(worker)
                one.goes_on(1000)
                worker.start()
            one.struck()
            _each_has_leases(made, workers)


@contextmanager
def _also(workers: list[Worker]) -> Iterator[None]:
    for one in workers:
        one.start()
    try:
        yield
    finally:
        for one in workers:
            one.close()


def _each_has_leases(made: Grounds, workers: list[Worker]) -> None:
    """Soon: lag is measured every ten seconds, and one asks after another."""
    began, shares = time.monotonic(), [0]

    def is_shared() -> bool:
        shares[:] = [leases(made, worker) for worker in workers]
        return min(shares) >= WIDE // len(workers) // 2

    try:
        made.await_(is_shared, "a worker has not its part")
    finally:
        print(f"    partitions of each after {time.monotonic() - began:.0f} s: {shares}")  # noqa: T201


@pytest.mark.long
def test_a_message_that_kills_its_worker(made: Grounds) -> None:
    """It ends in the quarantine by itself; its neighbours land."""

    armed, sent = threading.Event(), set[str]()

    def deadly(part: int, seq: int) -> bytes:
        """One of each sender, once all streams land."""
        whole, sender = body(part, seq), threading.current_thread().name
        if not armed.is_set() or sender in sent or b"oops" in whole:
            return whole
        sent.add(sender)
        return whole.replace(b'"text":"', b'"text":"' + KILLS)

    workers = [
        Worker(made, 30 + number, "killed_by_a_message", MILLRACE_LEASE_SECONDS="3")
        for number in range(2)
    ]
    told: set[str] = set()
    with (
        made.instead(*workers),
        Revival(workers) as revival,
        case(
            made, "a message that kills its worker", "kafka", "quorum", rate=0.1, body=deadly
        ) as one,
    ):
        armed.set()
        made.await_(lambda: _is_told(made, one.tables, told), f"it is not told: {told}", 600)
        one.struck()
        one.goes_on()
    print(f"    {revival.deaths} deaths by {len(one.senders)} messages")  # noqa: T201
    assert _put_aside(made, one) == len(one.senders)


def _is_told(made: Grounds, sources: list[str], told: set[str]) -> bool:
    """Whether each source has said what was put aside; it may have said more since."""
    told |= {name for name in sources if "workers died of the message" in error_of(made, name)}
    return len(told) == len(sources)


def _put_aside(made: Grounds, one: Case) -> int:
    return sum(
        made.query(
            f"SELECT count() AS c FROM {DATABASE}.{name}__quarantine "
            f"WHERE reason = 'crashed_worker' AND position(raw, '{KILLS.decode()}') > 0"
        )[0]["c"]
        for name in one.tables
    )
