"""Policy: how long a slice waits after a turn without progress. No state; time is an argument.

While messages wait in a buffer or an insert is under way, the slice naps, so that no batch gets
older than it must. A slice that holds nothing rests until a message arrives. All times are seconds.
"""

from __future__ import annotations

#: The shortest nap, and the nap's length for each busy source, because a look at each takes time.
NAP, NAP_A_SOURCE = 0.01, 0.0005
#: The pause after a poll that brought little, for each busy source. A thousand sources are polled
#: every two seconds, and a poll finds one chunk of messages at each.
POLL_A_SOURCE = 0.002
#: Sources below this number are polled more often (FEW_POLL_A_SOURCE), as fast as they deliver.
MANY = 50
FEW_POLL_A_SOURCE = 0.0005
#: Naps and pauses last this many times as long as a turn without progress, up to what they would
#: last if all sources were busy. So a thousand idle sources next to a busy one take no more than an
#: eleventh of a core.
AS_LONG_AS_A_TURN = 10
#: How long a source counts as busy after its last message.
BUSY = 10.0
#: The longest rest, and how often the slice checks during it whether it should stop.
REST, STEP = 1.0, 0.25


def is_busy(brought_at: float | None, now: float) -> bool:
    """Whether a source whose last message came at ``brought_at`` counts as busy."""
    return brought_at is not None and now - brought_at < BUSY


def nap(sources: int, busy: int, turn: float) -> float:
    """Seconds of a nap. ``sources``, ``busy``: how many there are. ``turn``: seconds of a turn.

    Never longer than if all sources were busy.
    """
    longest = max(NAP, NAP_A_SOURCE * sources)
    return min(longest, max(NAP, NAP_A_SOURCE * busy, AS_LONG_AS_A_TURN * turn))


def pause(sources: int, busy: int, turn: float) -> float:
    """Seconds to wait after a poll that brought little; the arguments and limit of ``nap``."""
    return min(_pause(sources), max(_pause(busy), AS_LONG_AS_A_TURN * turn))


def _pause(sources: int) -> float:
    return sources * (POLL_A_SOURCE if sources >= MANY else FEW_POLL_A_SOURCE)
