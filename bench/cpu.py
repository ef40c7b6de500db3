"""CPU time of processes and their children."""

from __future__ import annotations

from collections.abc import Mapping

import psutil


class Meter:
    """Use: ``meter = Meter({"engine": pid}); …; meter.spent(units)``."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = dict(pids)
        self._before = {name: _seconds(pid) for name, pid in self._pids.items()}

    def spent(self, units: float) -> dict[str, float]:
        """Microseconds of CPU a unit since the meter was made, by name."""
        return {
            name: (_seconds(pid) - self._before[name]) / units * 1e6
            for name, pid in self._pids.items()
        }


def _seconds(pid: int) -> float:
    process = psutil.Process(pid)
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        times = one.cpu_times()
        total += times.user + times.system
    return total
