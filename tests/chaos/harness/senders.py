"""Senders that number what they send, and know of each message whether the broker has it."""

from __future__ import annotations

import itertools
import json
import os
import threading
import time
import urllib.error
import urllib.request
import uuid
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import amqp.exceptions
import kombu
from confluent_kafka import KafkaError, Message, Producer
from kombu.exceptions import OperationalError

#: Of so many messages one is broken, each second of these as JSON and the others as a value.
BROKEN_EVERY = 89
#: A short run, beside other tests: less is sent, and done.
IS_SHORT = bool(os.environ.get("CHAOS_SHORT"))
#: What the senders' rates are multiplied by.
RATE = 0.3 if IS_SHORT else 1.0
#: Seconds for which the endpoint may be away: it has to start while others do.
PATIENCE = 240
_AWAY = (OperationalError, amqp.exceptions.AMQPError, OSError)


#: What a message says of itself that a filter leaves out.
ASIDE = '"kind":"aside"'


def body(part: int, seq: int) -> bytes:
    """The message ``seq`` of ``part``. The number can be read from a broken one, too.

    One in ten is of the kind that the filters of the sources leave out, broken or not.
    """
    more = {3: f"{ASIDE},", 4: f'"pos":{{"x":{seq % 7},"y":"b"}},'}.get(seq % 10, "")
    head = f'{{"part":{part},"seq":{seq},"text":"{seq:060d}",{more}"n":'
    if seq % (2 * BROKEN_EVERY) == 7:
        return head.encode() + b'"no number"}'
    if seq % (2 * BROKEN_EVERY) == 7 + BROKEN_EVERY:
        return head.encode() + b"oops"
    return head.encode() + b"%d}" % (seq % 1000)


#: Makes a message of its part and number.
Body = Callable[[int, int], bytes]


class Sender(threading.Thread):
    """Sends until told to stop. ``sent``: by part, how many numbers were used, from 0 on.

    ``uncertain`` are numbers, by part, of which the broker did not say whether it has them.
    ``aside`` are those that the source's filter leaves out; ``filtered_before`` is how many it had
    left out of the stream when this began.
    """

    #: Whether what was delivered and acknowledged is gone.
    is_queue = False

    def __init__(self, name: str, rate: float, base: int = 0, body: Body = body) -> None:
        """``base`` is added to the parts' numbers: one table then serves several senders."""
        super().__init__(name=f"send-{name}", daemon=True)
        self.stream, self._rate, self.base, self._body = name, rate * RATE, base, body
        self._ended = threading.Event()
        self.sent: dict[int, int] = defaultdict(int)
        self.uncertain: dict[int, list[int]] = defaultdict(list)
        self.aside: dict[int, set[int]] = defaultdict(set)
        self.filtered_before = 0
        self.failed: BaseException | None = None

    @property
    def total(self) -> int:
        return sum(self.sent.values())

    def run(self) -> None:
        began = time.monotonic()
        try:
            while not self._ended.is_set():
                self._send()
                # Behind its time it hurries, but not by more than a second's worth.
                began = max(began, time.monotonic() - 1 - self.total / self._rate)
                self._ended.wait(max(0.0, began + self.total / self._rate - time.monotonic()))
            self._finish()
        except BaseException as error:  # noqa: BLE001 - told at the end
            self.failed = error

    def end(self, seconds: float = 300) -> None:
        """Stop; what is on its way is delivered first."""
        self._ended.set()
        self.join(seconds)
        assert not self.is_alive(), f"{self.name} did not end in {seconds} s"
        assert self.failed is None, f"{self.name}: {self.failed!r}"

    @abstractmethod
    def _send(self) -> None: ...

    def _noted(self, part: int, seq: int, message: bytes) -> bytes:
        """The message, noted if it is left out: what is no JSON object never is."""
        if ASIDE.encode() in message and message.endswith(b"}"):
            self.aside[part].add(seq)
        return message

    def _finish(self) -> None:
        """Wait for what is on its way."""


class KafkaSender(Sender):
    """An idempotent producer: the broker has each once, whatever is killed."""

    def __init__(
        self, name: str, servers: str, partitions: int, rate: float, *options: Any
    ) -> None:
        super().__init__(name, rate, *options)
        self._partitions = itertools.cycle(range(partitions))
        self._producer = Producer(
            {
                "bootstrap.servers": servers,
                "enable.idempotence": True,
                "linger.ms": 20,
                "message.timeout.ms": 0,
                "compression.type": "zstd",
                "reconnect.backoff.max.ms": 1000,
                "log_level": 0,
            }
        )

    def _send(self) -> None:
        for _ in range(50):
            partition = next(self._partitions)
            part = self.base + partition
            seq = self.sent[part]
            self._produce(self._noted(part, seq, self._body(part, seq)), partition)
            self.sent[part] += 1
        self._producer.poll(0)

    def _produce(self, message: bytes, partition: int) -> None:
        while True:
            try:
                self._producer.produce(
                    self.stream, message, partition=partition, on_delivery=self._told
                )
            except BufferError:  # Kafka is away for long: what is on its way goes first
                self._producer.poll(0.5)
            else:
                return

    def _told(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            seq = json.loads((message.value() or b"").split(b',"text"')[0] + b"}")["seq"]
            self.uncertain[self.base + (message.partition() or 0)].append(seq)

    def _finish(self) -> None:
        left = self._producer.flush(180)
        assert left == 0, f"{left} messages were not delivered"


class RabbitSender(Sender):
    """Each message is confirmed, or uncertain and never sent again."""

    def __init__(self, name: str, url: str, rate: float, *options: Any, is_queue: bool) -> None:
        super().__init__(name, rate, *options)
        self._url, self.is_queue = url, is_queue
        self._link: kombu.Connection | None = None
        self._producer: Any = None

    def _send(self) -> None:
        if self._producer is None and not self._connect():
            return
        seq = self.sent[self.base]
        self.sent[self.base] += 1
        try:
            self._producer.publish(
                self._noted(self.base, seq, self._body(self.base, seq)),
                exchange="",
                routing_key=self.stream,
                delivery_mode=2,
                content_type="application/json",
                content_encoding="binary",
                message_id=f"{self.stream}-{self.base}-{seq}",
                timeout=5,
            )
        except _AWAY:
            self.uncertain[self.base].append(seq)
            self._forget()

    def _connect(self) -> bool:
        try:
            self._link = kombu.Connection(
                self._url, connect_timeout=2, transport_options={"confirm_publish": True}
            )
            self._producer = self._link.Producer()
            self._producer.channel  # noqa: B018 - connects
        except _AWAY:
            self._forget()
            time.sleep(0.3)
            return False
        return True

    def _forget(self) -> None:
        link, self._link, self._producer = self._link, None, None
        if link is not None:
            with suppress(*_AWAY):
                link.collect(socket_timeout=0.1)

    def _finish(self) -> None:
        self._forget()
        if not self.is_queue:
            # A node of one's own may lose what it has confirmed to a stream when it is killed.
            kept = _everything_in(self._url, self.stream)
            self.uncertain[self.base] = [
                seq for seq in range(self.sent[self.base]) if (self.base, seq) not in kept
            ]


def _everything_in(url: str, stream: str) -> set[tuple[int, int]]:
    """Part and number of all messages that a stream holds, read by a consumer of its own."""
    found: set[tuple[int, int]] = set()

    def note(message: Any) -> None:
        _, base, seq = message.properties["message_id"].rsplit("-", 2)
        found.add((int(base), int(seq)))
        message.channel.basic_ack(message.delivery_tag)

    with kombu.Connection(url) as link:
        channel: Any = link.channel()
        channel.auto_decode = False
        channel.basic_qos(0, 1000, False)
        channel.basic_consume(stream, callback=note, arguments={"x-stream-offset": "first"})
        with suppress(TimeoutError):
            while True:
                link.drain_events(timeout=3)
    return found


class HttpSender(Sender):
    """A request is repeated under its key until it is answered: so it counts once."""

    BATCH = 20

    def __init__(self, name: str, url: str, key: str, rate: float) -> None:
        super().__init__(name, rate)
        self._url, self._key = f"{url}/api/v1/events/{name}", key

    def _send(self) -> None:
        first = self.sent[0]
        # The endpoint takes JSON objects alone.
        events = [
            self._noted(0, seq, body(0, seq).replace(b"oops", b"[]}"))
            for seq in range(first, first + self.BATCH)
        ]
        self.sent[0] += self.BATCH
        self._post(b"\n".join(events), str(uuid.uuid4()))

    def _post(self, events: bytes, idempotency_key: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            request = urllib.request.Request(  # noqa: S310 - http
                self._url,
                events,
                {
                    "Authorization": f"Bearer {self._key}",
                    "Content-Type": "application/x-ndjson",
                    "Idempotency-Key": idempotency_key,
                },
            )
            try:
                urllib.request.urlopen(request, timeout=10).close()  # noqa: S310
            except urllib.error.HTTPError as error:
                with error:
                    if error.code < 500 and error.code != 429:
                        raise AssertionError(error.read()) from error
            except OSError:
                pass
            else:
                return
            assert time.monotonic() < deadline, f"the endpoint took no events for {PATIENCE} s"
            time.sleep(0.3)
