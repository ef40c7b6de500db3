"""Queries a Kafka broker, and finds out why it does not answer.

librdkafka retries until a call times out, and reports the reason only to its error callback. After
a failed login waiting is pointless, so such an error from the callback ends the call.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from ingestion.connectors.connection_trial import TIMEOUT, StepFailed
from ingestion.connectors.kafka import refusal

_silent = logging.getLogger("millrace.kafka.probe")
_silent.disabled = True

#: Seconds within which librdkafka reports the reason, after it has reported that no broker is left.
_AFTERTHOUGHT = 1.0
#: How librdkafka begins an error of a broker that another has advertised: its address and id.
_OTHER = re.compile(r"^(?:\w+://)?(?P<at>\S+:\d+)/(?P<id>\d+): ")


class Asker:
    """A client for a few queries to the broker at ``where``."""

    def __init__(self, settings: dict[str, Any], where: str) -> None:
        self._where = where
        self._has_login = "SASL" in str(settings["security.protocol"]).upper()
        #: The user as ACLs name it; with a client certificate or a token, the broker derives it.
        self.user = settings.get("sasl.username") or "NAME"
        self._errors: list[KafkaError] = []
        # Without log.connection.close librdkafka would not report that the broker hangs up.
        quiet = {"error_cb": self._errors.append, "log_level": 0, "log.connection.close": True}
        try:
            self._client = AdminClient(settings | quiet, logger=_silent)
        except KafkaException as error:
            said = f"The Kafka client refuses the settings: {error.args[0].str()}"
            raise StepFailed(said, "Correct the fields or options named there.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        del self._client  # librdkafka lets go with the last reference

    def cluster(self) -> Any:
        """The cluster with its brokers; raises StepFailed."""
        return self._asked(lambda: self._client.describe_cluster(request_timeout=2 * TIMEOUT))

    @property
    def elsewhere(self) -> dict[str, int]:
        """Ids of brokers that this one advertised and that did not answer, by their addresses."""
        found = (_OTHER.match(one.str()) for one in self._errors)
        return {one["at"]: int(one["id"]) for one in found if one and one["at"] != self._where}

    def topic(self, name: str) -> Any:
        """A topic and what we may do with it; raises KafkaException, StepFailed."""
        wanted = TopicCollection([name])
        return self._asked(
            lambda: self._client.describe_topics(
                wanted, include_authorized_operations=True, request_timeout=TIMEOUT
            )[name],
            translate=False,
        )

    def group(self, name: str) -> Any:
        """A consumer group and what we may do with it; raises KafkaException, StepFailed."""
        return self._asked(
            lambda: self._client.describe_consumer_groups(
                [name], include_authorized_operations=True, request_timeout=TIMEOUT
            )[name],
            translate=False,
        )

    def _asked(self, ask: Callable[[], Future[Any]], *, translate: bool = True) -> Any:
        future = ask()
        self._await(future)
        try:
            return future.result(timeout=0)
        except KafkaException as error:
            if not translate:
                raise
            raise refusal.told(
                self._because(error.args[0]), self._where, self._has_login
            ) from error

    def _await(self, future: Future[Any]) -> None:
        deadline = time.monotonic() + 2 * TIMEOUT
        while not future.done():
            self._client.poll(0.05)
            decisive = [one for one in self._errors if refusal.is_decisive(one)]
            if decisive:
                raise refusal.told(decisive[0], self._where, self._has_login)
            if self._errors:
                deadline = min(deadline, time.monotonic() + _AFTERTHOUGHT)
            if time.monotonic() > deadline:
                raise refusal.told(self._because(None), self._where, self._has_login)

    def _because(self, error: KafkaError | None) -> KafkaError | None:
        """The most telling error that librdkafka has reported; a timeout alone says nothing."""
        return next((one for one in self._errors if refusal.has_reason(one)), None) or next(
            iter(self._errors), error
        )
