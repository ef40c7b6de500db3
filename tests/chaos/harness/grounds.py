"""Where the storm rages: a whole installation whose workers reach everything through proxies."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from kombu import Connection

from millrace.embedded import kafka as embedded_kafka
from millrace.embedded import ports
from tests.chaos.harness.proxy import Proxy
from tests.chaos.harness.senders import HttpSender, KafkaSender, RabbitSender, Sender
from tests.chaos.harness.worker import Worker
from tests.flaky import Waited

#: Short, so that a worker that is paused outlives its lease in seconds.
LEASE_SECONDS = 6
#: Seconds within which anything must come to pass. No claim about how soon it does, which is
#: printed as the stall: a machine with much else to do is slow, and nothing is lost by that.
PATIENCE = 240.0
KAFKA_PARTITIONS = 4
QUEUES = {"classic": "classic", "quorum": "quorum", "logged": "stream"}
TABLES = ("kafka", *QUEUES, "http")
DATABASE = "t_chaos"
#: Of each file system that is filled.
_DISK_BYTES = 700_000_000
_TABLE = """
      - name: {name}
        columns:
          - {{name: part, type: UInt32}}
          - {{name: seq, type: UInt64}}
          - {{name: text, type: String}}
          - {{name: n, type: UInt16}}
          - {{name: kind, type: LowCardinality(String), default: usual}}
          - {{name: digest, type: UInt64, expression: sipHash64(text)}}
{more}        sorting_key: [part, seq]
        partition_key: seq % 5
"""
#: Columns of the streams that send little: ClickHouse takes long for so many forms of a value.
_MORE = """\
          - {name: moment, type: DateTime, path: seq, format: s}
          - {name: pos, type: "Tuple(x UInt32, y Nullable(String))", default: {x: 0, y: null}}
"""
_FILTER = """filter: "kind != 'aside'\""""
_NO_LIMIT = f"quarantine_limit: 0, {_FILTER}"
_ROLLUP_TABLE = (
    "CREATE TABLE {db}.{name}_rollup (part UInt32, rows UInt64) ENGINE = SummingMergeTree "
    "ORDER BY part SETTINGS non_replicated_deduplication_window = 10000"
)
_ROLLUP_VIEW = (
    "CREATE MATERIALIZED VIEW {db}.{name}_rollup_view TO {db}.{name}_rollup AS "
    "SELECT part, count() AS rows FROM {db}.{name} GROUP BY part"
)


class Grounds:
    """``networks`` of brokers are shared by all workers, those of stores are each worker's own."""

    def __init__(self, running: Any, *, with_rabbitmq: bool) -> None:
        self.running, self.with_rabbitmq = running, with_rabbitmq
        self.tables = TABLES if with_rabbitmq else ("kafka", "http")
        self.workers: list[Worker] = []
        self.networks: dict[str, Proxy] = {}
        #: Services whose data lies on a small file system, which can be filled.
        self.small_disks: list[str] = []

    # --- Setting up -----------------------------------------------------------------------------

    def set_up(self, sabotage: str = "", workers: int = 2) -> None:
        _unmount_what_killed_runs_left()
        for service in ("clickhouse", "postgres"):
            if self._mount(service):
                self.small_disks.append(service)
        numbers = ports.read(self.running.home)
        names = ["postgres", "clickhouse", "valkey", "kafka"]
        if self.with_rabbitmq:
            names.append("rabbitmq")
        # A second listener of Kafka, behind the proxy.
        listener = ports.choose(set(numbers.values()))
        self.networks["kafka"] = Proxy(listener)
        _advertise(listener, self.networks["kafka"].port)
        self.networks["rabbitmq"] = Proxy(numbers["rabbitmq"])
        self.running.start(*names)
        self.running.start("web", "worker-default", "beat")
        self._make_streams()
        self._apply()
        self.workers = [Worker(self, number, sabotage) for number in range(workers)]
        for worker in self.workers:
            worker.start()

    def _mount(self, service: str) -> bool:
        """A file system of its own in a file, as root alone can have one."""
        folder = self.running.home / service
        folder.mkdir(parents=True, exist_ok=True)
        image = self.running.home / f"{service}.ext4"
        if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
            return False
        with image.open("wb") as file:
            file.truncate(_DISK_BYTES)
        commands = (
            ["mkfs.ext4", "-q", "-F", "-m", "0", str(image)],
            ["mount", "-o", "loop", str(image), str(folder)],
        )
        return all(
            subprocess.run(one, capture_output=True, check=False).returncode == 0
            for one in commands
        )

    def _make_streams(self) -> None:
        admin = AdminClient({"bootstrap.servers": self._address("kafka")})
        admin.create_topics([NewTopic("kafka", KAFKA_PARTITIONS, 1)])["kafka"].result(120)
        if self.with_rabbitmq:
            with Connection(self.running.urls["RABBITMQ_URL"]) as link:
                channel: Any = link.default_channel
                for name, kind in QUEUES.items():
                    channel.queue_declare(
                        name, durable=True, auto_delete=False, arguments={"x-queue-type": kind}
                    )

    def _address(self, service: str) -> str:
        return f"127.0.0.1:{ports.read(self.running.home)[service]}"

    def _apply(self) -> None:
        file = self.running.home / "chaos.yaml"
        file.write_text(self._configuration())
        self._manage_apply(file)
        self.await_(self._has_tables, "the tables were not made")
        for name in self.tables:
            for statement in (_ROLLUP_TABLE, _ROLLUP_VIEW):
                self.query(statement.format(db=DATABASE, name=name))

    def _manage_apply(self, file: Path) -> None:
        """On a loaded machine a warehouse is not ready in time; then it is repeated, as it says."""
        done = self.running.manage("apply", str(file), check=False)
        if done.returncode and "not ready yet" in done.stderr:
            time.sleep(10)
            done = self.running.manage("apply", str(file), check=False)
        assert done.returncode == 0, done.stderr[-3000:]

    def _has_tables(self) -> bool:
        found = self.query(f"SELECT count() AS c FROM system.tables WHERE database = '{DATABASE}'")
        return int(found[0]["c"]) == 10 * len(self.tables)

    def add_topics(self, *topics: tuple[str, str, int]) -> None:
        """More topics: tenant, name and partitions of each; with a table and a source."""
        admin = AdminClient({"bootstrap.servers": self._address("kafka")})
        made = admin.create_topics([NewTopic(name, count, 1) for _, name, count in topics])
        for one in made.values():
            one.result(120)
        text = "tenants:\n"
        for tenant, name, _ in topics:
            text += (
                f"  - slug: {tenant}\n    tables:{_TABLE.format(name=name, more='')}    sources:\n"
            )
            text += f"      - {{name: {name}, connection: kafka, stream: {name}, table: {name}, "
            text += f"{_FILTER}}}\n"
        file = self.running.home / "more.yaml"
        file.write_text(text)
        self._manage_apply(file)
        for tenant, name, _ in topics:
            self.await_(partial(self._has_inbox, tenant, name), f"{name} was not made")
            for statement in (_ROLLUP_TABLE, _ROLLUP_VIEW):
                self.query(statement.format(db=f"t_{tenant}", name=name))

    def _has_inbox(self, tenant: str, name: str) -> bool:
        found = self.query(
            "SELECT count() AS c FROM system.tables WHERE "
            f"database = 't_{tenant}' AND name = '{name}__parse'"
        )
        return bool(found[0]["c"])

    def _configuration(self) -> str:
        url = urllib.parse.urlsplit(self.running.urls["RABBITMQ_URL"])
        kafka = f"127.0.0.1:{self.networks['kafka'].port}"
        secret = self.running.home / "rabbitmq.secret"
        secret.write_text(urllib.parse.unquote(url.password or ""))
        lines = ["connections:", f"  - {{name: kafka, kind: kafka, addresses: '{kafka}'}}"]
        if self.with_rabbitmq:
            lines.append(
                "  - {name: rabbitmq, kind: rabbitmq, "
                f"addresses: '127.0.0.1:{self.networks['rabbitmq'].port}', "
                f"username: {url.username}, password: {{file: '{secret}'}}}}"
            )
        lines += ["tenants:", "  - slug: chaos", "    tables:"]
        lines += [
            _TABLE.format(name=name, more="" if name == "kafka" else _MORE).strip("\n")
            for name in self.tables
        ]
        lines.append("    sources:")
        # Columns are edited so that nothing fits, which must not pause the source.
        lines.append(f"      - {{name: http, table: http, {_NO_LIMIT}}}")
        lines.append(
            f"      - {{name: kafka, connection: kafka, stream: kafka, table: kafka, {_NO_LIMIT}}}"
        )
        lines += [
            f"      - {{name: {name}, connection: rabbitmq, stream: {name}, table: {name}, "
            f"{_NO_LIMIT}}}"
            for name in (QUEUES if self.with_rabbitmq else ())
        ]
        return "\n".join(lines) + "\n"

    def senders(self) -> list[Sender]:
        """One for each stream; not started."""
        made: list[Sender] = [
            self.kafka_sender(3000),
            HttpSender("http", self.running.urls["WEB_URL"], self._key(), 100),
        ]
        if self.with_rabbitmq:
            url = self.running.urls["RABBITMQ_URL"]
            made += [
                RabbitSender(name, url, 150, is_queue=kind != "stream")
                for name, kind in QUEUES.items()
            ]
        return made

    def kafka_sender(self, rate: float, *options: Any) -> KafkaSender:
        return self.topic_sender("kafka", KAFKA_PARTITIONS, rate, *options)

    def topic_sender(self, name: str, partitions: int, rate: float, *options: Any) -> KafkaSender:
        return KafkaSender(name, self._address("kafka"), partitions, rate, *options)

    @contextmanager
    def instead(self, *workers: Worker) -> Iterator[None]:
        """Other workers in place of the usual ones."""
        usual, self.workers = self.workers, list(workers)
        for one in usual:
            one.terminate()
        for one in workers:
            one.start()
        try:
            yield
        finally:
            for one in workers:
                one.close()
            self.workers = usual
            for one in usual:
                one.start()

    def _key(self) -> str:
        return self.running.python(
            "from tenants.services import keys\nfrom tenants.models import Tenant\n"
            "print(keys.create_key(Tenant.objects.get(slug='chaos'), 'chaos')[1])"
        ).strip()

    def take_and_give_back(self, queue: str, count: int) -> None:
        """As another consumer: half of what it takes is rejected, half comes back as it leaves."""
        taken: list[Any] = []
        with Connection(self.running.urls["RABBITMQ_URL"]) as link:
            channel: Any = link.channel()
            channel.auto_decode = False
            channel.basic_qos(0, count, False)
            channel.basic_consume(queue, callback=taken.append)
            with suppress(TimeoutError):
                while len(taken) < count:
                    link.drain_events(timeout=5)
            assert taken, f"{queue} gave nothing to a second consumer"
            for one in taken[: len(taken) // 2]:
                channel.basic_reject(one.delivery_tag, requeue=True)

    # --- Looks ----------------------------------------------------------------------------------

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Ask the engine itself, by a way that no fault touches."""
        url = urllib.parse.urlsplit(self.running.urls["CLICKHOUSE_URL"])
        request = urllib.request.Request(
            f"http://{url.hostname}:{url.port}/?default_format=JSON"
            "&output_format_json_quote_64bit_integers=0",
            sql.encode(),
            {
                "X-ClickHouse-User": url.username or "",
                "X-ClickHouse-Key": urllib.parse.unquote(url.password or ""),
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - http
                text = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                raise OSError(error.read(2000).decode(errors="replace")) from error
        return json.loads(text)["data"] if text.strip() else []

    def postgres(self, sql: str) -> list[Any]:
        with psycopg.connect(self.running.urls["DATABASE_URL"], autocommit=True) as link:
            cursor = link.execute(sql)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def await_(self, condition: Any, message: str, seconds: float = PATIENCE) -> None:
        """Fail with ``message`` and with how things stand where it does not hold in time."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise Waited(f"{message}\n{self._standing()}")
            time.sleep(0.3)

    def _standing(self) -> str:
        """What the product's books and the workers say of where it stands."""
        looks = {
            "sources": "SELECT name, attempts, retry_at - now(), error FROM ingestion_source",
            "partitions": "SELECT source_id, number, position, lease_owner, "
            "lease_expires_at - now(), crashes, wanted_by FROM ingestion_streampartition",
            "open batches": "SELECT partition_id, token, rows, now() - opened_at, is_reread "
            "FROM ingestion_batch WHERE state = 'intent'",
        }
        told = []
        for name, sql in looks.items():
            try:
                rows = self.postgres(sql)
            except psycopg.Error as error:
                rows = [error]
            told += [f"{name}:", *(f"  {row}" for row in rows)]
        for worker in self.workers:
            told += [f"{worker.name}, pid {worker.process.pid}:", *worker.last_lines(25)]
            told += [f"  unheard: {one!r}" for one in worker.networks["clickhouse"].unheard]
        return "\n".join(told)

    def set_window(self, tables: Sequence[str], size: int) -> None:
        """How many inserts ClickHouse remembers of each table; 0: it deduplicates nothing."""
        for table in tables:
            self.query(
                f"ALTER TABLE {table} MODIFY SETTING non_replicated_deduplication_window = {size}"
            )

    # --- Services -------------------------------------------------------------------------------

    def processes(self, service: str) -> list[int]:
        """Of a service, and of all that it has started."""
        first = self.running.stack.pid(service)
        return _with_descendants(first) if first else []

    def revive(self, service: str) -> None:
        """Wait for what supervisor starts anew; start it where supervisor has given up."""
        try:
            self.running.stack.wait(service)
        except Exception:  # noqa: BLE001 - whatever it was, a start is the remedy
            self.running.stack.start([service])

    def close(self) -> None:
        for worker in self.workers:
            worker.close()
        for proxy in self.networks.values():
            proxy.close()
        self.running.stack.stop()
        for service in self.small_disks:
            subprocess.run(["umount", "-l", str(self.running.home / service)], check=False)


def _unmount_what_killed_runs_left() -> None:
    """Without this, pytest fails when it deletes the folders of earlier runs.

    A file system that is in use stays: ``umount`` refuses it.
    """
    for disk in psutil.disk_partitions():
        if any(part.startswith("pytest-of-") for part in Path(disk.mountpoint).parts):
            subprocess.run(["umount", disk.mountpoint], capture_output=True, check=False)


def assert_books_balance(grounds: Grounds, sources: Sequence[str]) -> None:
    """By ``manage.py ledger`` of each, in one process: it raises where they don't."""
    names = [f"chaos.{one}" for one in sources]
    grounds.running.python(
        "from django.core.management import call_command\n"
        f"for one in {names}: call_command('ledger', one)"
    )


def ledgers(grounds: Grounds, sources: Sequence[str]) -> list[str]:
    """What Millrace's own books say of each: no part of a verdict, but of its explanation."""
    if not sources:
        return []
    shown = grounds.running.python(
        "from django.core.management import CommandError, call_command\n"
        f"for name in {list(sources)}:\n"
        "    try: call_command('ledger', f'chaos.{name}')\n"
        "    except CommandError as error: print(error)\n"
    )
    return [str(shown)]


def tables_of(name: str) -> list[str]:
    """Every table that rows of a stream end in."""
    return [f"{DATABASE}.{name}{end}" for end in ("", "__quarantine", "__filtered", "_rollup")]


def _with_descendants(first: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            text = stat.read_text()
            parent = int(text.rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(stat.parent.name))
    found = [first]
    for one in found:
        found += parents.get(one, [])
    return found


_PLAIN = embedded_kafka._CONFIG


def _advertise(port: int, proxy: int) -> None:
    """Have Kafka name the proxy to whoever came through it."""
    embedded_kafka._CONFIG = (
        _PLAIN.replace("listeners=PLAINTEXT", f"listeners=PROXIED://{{host}}:{port},PLAINTEXT", 1)
        .replace("advertised.listeners=", f"advertised.listeners=PROXIED://{{host}}:{proxy},")
        .replace(
            "listener.security.protocol.map=", "listener.security.protocol.map=PROXIED:PLAINTEXT,"
        )
    )


@contextmanager
def grounds(running: Any, sabotage: str = "", workers: int = 2) -> Iterator[Grounds]:
    """An installation made ready for faults, and taken down after them."""
    from millrace.embedded.rabbitmq import RabbitMQ

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILLRACE_LEASE_SECONDS", str(LEASE_SECONDS))
        patch.setenv("MILLRACE_SLICE_SECONDS", str(LEASE_SECONDS / 1.5))
        patch.setattr(embedded_kafka, "_CONFIG", _PLAIN)
        made = Grounds(running, with_rabbitmq=RabbitMQ(running.home).why_unavailable() is None)
        try:
            made.set_up(sabotage, workers)
            yield made
        finally:
            made.close()


def ended(senders: Sequence[Sender]) -> None:
    for one in senders:
        one.end()
