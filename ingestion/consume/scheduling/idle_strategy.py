"""Policy: how long a slice waits when a turn has brought nothing. No state; time is an argument.

While anything is held, or an insert is under way, it naps, so that nothing gets older than it must.
Only with nothing in its hands does it rest, for as long as no message comes.
"""

from __future__ import annotations

#: Seconds of a nap, and for each busy source as long: to look at them costs time.
NAP, NAP_A_SOURCE = 0.01, 0.0005
#: Seconds for each busy source between two polls that brought less than all they may: a thousand
#: are looked through every two seconds, and what came meanwhile is one chunk of each.
POLL_A_SOURCE = 0.002
#: Fewer sources than this are looked through as fast as they deliver.
MANY = 50
FEW_POLL_A_SOURCE = 0.0005
#: Naps and pauses last so many times as long as a turn that brings nothing: a thousand idle sources
#: beside one that is busy take no more than an eleventh of a core.
AS_LONG_AS_A_TURN = 10
#: Seconds after its last message for which a source counts as busy.
BUSY = 10.0
#: Seconds of a rest at the most, and seconds of it after which the slice looks whether to stop.
REST, STEP = 1.0, 0.25


def is_busy(brought_at: float | None, now: float) -> bool:
    """Whether a source counts as busy that brought its last message then."""
    return brought_at is not None and now - brought_at < BUSY


def nap(sources: int, busy: int, turn: float) -> float:
    """Seconds to wait with ``sources``, of which so many are busy; ``turn``: what a turn takes.

    Never longer than if all of them were busy.
    """
    longest = max(NAP, NAP_A_SOURCE * sources)
    return min(longest, max(NAP, NAP_A_SOURCE * busy, AS_LONG_AS_A_TURN * turn))


def pause(sources: int, busy: int, turn: float) -> float:
    """Seconds between two polls that bring little, as ``nap`` has it."""
    return min(_pause(sources), max(_pause(busy), AS_LONG_AS_A_TURN * turn))


def _pause(sources: int) -> float:
    return sources * (POLL_A_SOURCE if sources >= MANY else FEW_POLL_A_SOURCE)
