"""CPU time and memory of processes and their children."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import psutil


class Meter:
    """Use: ``meter = Meter({"engine": pid}); …; meter.spent(units)``."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = dict(pids)
        self.begin()

    def begin(self) -> None:
        """Count from now on."""
        self._before = {name: _seconds(pid) for name, pid in self._pids.items()}

    def spent(self, units: float) -> dict[str, float]:
        """Microseconds of CPU a unit since the meter was made, by name."""
        return {
            name: (_seconds(pid) - self._before[name]) / units * 1e6
            for name, pid in self._pids.items()
        }


def _seconds(pid: int) -> float:
    """What children used that have ended (Postgres' backends come and go) is counted too."""
    process = psutil.Process(pid)
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        total += sum(one.cpu_times()[:4])
    return total


def rss(pid: int) -> int:
    """Bytes that a process has in memory now."""
    return int(psutil.Process(pid).memory_info().rss)


def peak_rss(pid: int) -> int:
    """The most bytes that a process had in memory since it began, as Linux counts them."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/{pid}/status has no VmHWM")
