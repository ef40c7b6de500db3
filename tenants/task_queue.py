"""Queues Celery tasks by name, so that services need not import the tasks, a layer above them."""

from __future__ import annotations

import logging
from typing import Any

from celery import current_app, signature
from kombu.exceptions import OperationalError

#: Seconds after which a task that a reconciler queues again expires unless a worker has begun it. A
#: reconciler runs every ten seconds, and would fill a queue that no worker reads.
EXPIRES = 20

log = logging.getLogger(__name__)


def send(name: str, *arguments: Any, expires: float | None = None) -> None:
    """Queue a task now. If the broker is down, the reconciler finds the row later.

    ``expires``: seconds after which it is dropped unless a worker has begun it; None: never.
    """
    task = signature(name, args=arguments)
    if expires is not None:
        task.set(expires=expires)
    try:
        task.apply_async(retry=False)
    except OperationalError:
        log.warning("The Celery broker does not answer; %s waits for the reconciler.", name)


def unread(name: str) -> int | None:
    """How many messages in a task's queue no worker has taken yet; None if the broker is down."""
    queue = current_app.amqp.router.route({}, name)["queue"].name
    link: Any
    with current_app.connection_for_write() as link:
        try:
            return int(link.default_channel.queue_declare(queue, passive=True).message_count)
        except (OperationalError, *link.connection_errors):
            return None
        except link.channel_errors:
            return 0  # The queue does not exist until something is sent to it.
