"""The flag that a worker sets when it shuts down; slices check it and end early and cleanly."""

from __future__ import annotations

from threading import Event
from typing import Any

from celery.signals import worker_shutting_down

_flag = Event()


@worker_shutting_down.connect(dispatch_uid="ingestion.consume.shutdown")
def stop(**_: Any) -> None:
    """Ask all slices of this process to end."""
    _flag.set()


def is_stopping() -> bool:
    """Whether slices of this process should end."""
    return _flag.is_set()
