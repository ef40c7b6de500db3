"""What can go wrong, each done for real: signals, a network that is cut, a disk that is full."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from millrace.embedded.clickhouse.config import KEPT_FREE
from tests.chaos.harness.columns import edit_columns
from tests.chaos.harness.grounds import LEASE_SECONDS, Grounds
from tests.chaos.harness.proxy import Proxy
from tests.chaos.harness.worker import Worker


@dataclass(frozen=True, slots=True)
class Fault:
    """``strike(seconds)`` does it, lets it last, and mends it. One fault a ``target`` at a time."""

    kind: str
    target: str
    strike: Callable[[float], None]
    #: The least and the most that it lasts, in seconds.
    lasts: tuple[float, float] = (0.3, 2.5)


def faults(grounds: Grounds) -> list[Fault]:
    """All faults that can be done on this machine."""
    return [
        *(one for worker in grounds.workers for one in _of_worker(grounds, worker)),
        *(one for name in ("clickhouse", "kafka") for one in _of_service(grounds, name)),
        *(_of_service(grounds, "rabbitmq") if grounds.with_rabbitmq else ()),
        *(one for name in ("postgres", "valkey") for one in _of_service(grounds, name)),
        Fault("web killed", "web", lambda _: _kill(grounds, "web")),
        Fault("a Postgres backend killed", "postgres", lambda _: _kill_backend(grounds)),
        Fault("leases expired", "leases", lambda _: _expire(grounds)),
        *(
            Fault("columns edited", f"columns of {name}", _edited(grounds, name))
            for name in grounds.tables
        ),
        *(_full_disk(grounds, name) for name in grounds.small_disks),
        *_network("kafka", "kafka", grounds.networks["kafka"]),
        *(
            _network("rabbitmq", "rabbitmq", grounds.networks["rabbitmq"])
            if grounds.with_rabbitmq
            else ()
        ),
    ]


def _of_worker(grounds: Grounds, worker: Worker) -> Iterator[Fault]:
    def killed(seconds: float) -> None:
        worker.kill()
        time.sleep(seconds)
        worker.start()

    def replaced(_: float) -> None:
        worker.terminate()
        worker.start()

    def paused(seconds: float) -> None:
        worker.signal(signal.SIGSTOP)
        time.sleep(seconds)
        worker.signal(signal.SIGCONT)

    yield Fault("worker killed", worker.name, killed)
    yield Fault("worker paused", worker.name, paused)
    yield Fault(
        "worker paused past its lease", worker.name, paused, (LEASE_SECONDS + 1, LEASE_SECONDS + 3)
    )
    yield Fault("worker told to stop", worker.name, replaced)
    for service, proxy in worker.networks.items():
        yield from _network(service, worker.name, proxy)
    yield Fault(
        "replies of clickhouse lost",
        worker.name,
        _mended(worker.networks["clickhouse"], Proxy.drop_replies),
    )
    yield Fault("reply of an insert lost", worker.name, _lost_insert(worker.networks["clickhouse"]))


def _network(service: str, target: str, proxy: Proxy) -> Iterator[Fault]:
    yield Fault(f"network to {service} cut", target, _mended(proxy, Proxy.cut))
    yield Fault(f"network to {service} stalled", target, _mended(proxy, Proxy.stall))


def _mended(proxy: Proxy, harm: Callable[[Proxy], None]) -> Callable[[float], None]:
    def strike(seconds: float) -> None:
        harm(proxy)
        time.sleep(seconds)
        proxy.heal()

    return strike


#: What the head of an insert has in it, as clickhouse-connect sends it.
INSERT = b"INSERT"


def _lost_insert(proxy: Proxy) -> Callable[[float], None]:
    """It begins when an insert has landed that nobody hears of, or when none comes for long."""

    def strike(seconds: float) -> None:
        before, until = proxy.dropped, time.monotonic() + 60
        proxy.drop_replies(INSERT)
        while proxy.dropped == before and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(seconds)
        proxy.heal()

    return strike


def _of_service(grounds: Grounds, name: str) -> Iterator[Fault]:
    def paused(seconds: float) -> None:
        stopped = grounds.processes(name)
        _signal(stopped, signal.SIGSTOP)
        time.sleep(seconds)
        _signal(stopped, signal.SIGCONT)

    yield Fault(f"{name} killed", name, lambda _: _kill(grounds, name))
    yield Fault(f"{name} paused", name, paused)


def _kill(grounds: Grounds, name: str) -> None:
    # What Postgres' first process has started ends by itself, or the next start waits for it.
    found = grounds.processes(name)
    _signal(found[:1] if name == "postgres" else found, signal.SIGKILL)
    time.sleep(0.5)
    grounds.revive(name)


def _kill_backend(grounds: Grounds) -> None:
    """Postgres then ends all its backends and recovers, as after a crash."""
    _signal(grounds.processes("postgres")[-1:], signal.SIGKILL)
    time.sleep(0.5)
    grounds.revive("postgres")


def _expire(grounds: Grounds) -> None:
    """Under running owners, which do not know it."""
    with suppress(Exception):  # Postgres may be the one that is away
        grounds.postgres(
            "UPDATE ingestion_streampartition SET lease_expires_at = statement_timestamp()"
        )


def _edited(grounds: Grounds, table: str) -> Callable[[float], None]:
    """How long it is to last says which edit it is, so that a seed repeats it."""

    def strike(seconds: float) -> None:
        try:
            edit_columns(grounds, table, int(seconds * 1_000_000))
        except AssertionError as error:
            if not any(one in str(error) for one in _AWAY):
                raise

    return strike


#: What an edit says where the service that it needs is the one that is away, or is full.
_AWAY = ("OperationalError", "InterfaceError", "does not answer", "No space left", "DiskFull")


def _full_disk(grounds: Grounds, service: str) -> Fault:
    filler = Path(grounds.running.home) / service / "filler"
    # The engine stops writing while a little is left; Postgres is left nothing.
    left = KEPT_FREE // 4 if service == "clickhouse" else 0

    def strike(seconds: float) -> None:
        with filler.open("wb") as file, suppress(OSError):
            block = bytes(1024 * 1024)
            while shutil.disk_usage(filler).free > left:
                file.write(block)
                file.flush()
        time.sleep(seconds)
        filler.unlink()
        grounds.revive(service)

    return Fault(f"disk of {service} full", service, strike, (1.0, 3.0))


def _signal(processes: list[int], number: int) -> None:
    for one in processes:
        with suppress(ProcessLookupError):
            os.kill(one, number)
