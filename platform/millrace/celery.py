"""The Celery application: queue ``ingest`` runs slices of streams, ``default`` all other tasks."""

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
    """Run the garbage collector rarely, and never over what exists at the start.

    A worker holds tens of thousands of messages at a time, none of which is part of a cycle. By
    default Python collects after every 700 new objects, which took half of a worker's CPU time per
    row (bench ingest). For the start see docs.python.org/3/library/gc.html#gc.freeze.
    """
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)
