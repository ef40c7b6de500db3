"""Calls a function with a time limit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, act: Callable[[], T]) -> T:
    """The result of ``act``; raises TimeoutError if it takes longer than ``seconds``.

    ``act`` runs in a thread, which can't be stopped: after a timeout it keeps running on its own.
    """
    outcome: SimpleQueue[tuple[T | None, Exception | None]] = SimpleQueue()

    def work() -> None:
        try:
            outcome.put((act(), None))
        except Exception as error:  # noqa: BLE001 - raised again by the waiting thread
            outcome.put((None, error))

    threading.Thread(target=work, daemon=True).start()
    try:
        result, error = outcome.get(timeout=seconds)
    except Empty as empty:
        raise TimeoutError from empty
    if error is not None:
        raise error
    return result  # type: ignore[return-value]
