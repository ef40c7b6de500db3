"""Asking for a Celery task by its name, so that a service need not import the tasks above it."""

from __future__ import annotations

import logging
from typing import Any

from celery import signature
from kombu.exceptions import OperationalError

log = logging.getLogger(__name__)


def send(name: str, *arguments: Any) -> None:
    """Queue a task now. Where the broker is down, the reconciler will find the row later."""
    try:
        signature(name, args=arguments).apply_async(retry=False)
    except OperationalError:
        log.warning("The Celery broker does not answer; %s waits for the reconciler.", name)
