"""Queues Celery tasks by name, so that services need not import the tasks, a layer above them."""

from __future__ import annotations

import logging
from typing import Any

from celery import signature
from kombu.exceptions import OperationalError

log = logging.getLogger(__name__)


def send(name: str, *arguments: Any) -> None:
    """Queue a task now. If the broker is down, the reconciler finds the row later."""
    try:
        signature(name, args=arguments).apply_async(retry=False)
    except OperationalError:
        log.warning("The Celery broker does not answer; %s waits for the reconciler.", name)
