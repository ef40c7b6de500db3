from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, act: Callable[[], T]) -> T:
    """``act`` in a thread that is left behind where it takes longer; then raises TimeoutError."""
    outcome: SimpleQueue[tuple[T | None, Exception | None]] = SimpleQueue()

    def work() -> None:
        try:
            outcome.put((act(), None))
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            outcome.put((None, error))

    threading.Thread(target=work, daemon=True).start()
    try:
        found, error = outcome.get(timeout=seconds)
    except Empty as empty:
        raise TimeoutError from empty
    if error is not None:
        raise error
    return found  # type: ignore[return-value]
