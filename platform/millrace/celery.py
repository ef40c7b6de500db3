"""The Celery application: queues ``ingest`` (slices of streams) and ``default`` (all else)."""

from __future__ import annotations

import gc
import os
from typing import Any

from celery import Celery
from celery.signals import worker_init, worker_process_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "millrace.settings")

app = Celery("millrace")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_init.connect
@worker_process_init.connect
def collect_garbage_rarely(**_: Any) -> None:
    """A worker holds tens of thousands of messages at a time, none of which is part of a cycle.

    By default Python looks through them at every 700th: that took half of a worker's CPU a row
    (bench ingest). What is there at the start stays, and is looked at no more
    (docs.python.org/3/library/gc.html#gc.freeze).
    """
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)
