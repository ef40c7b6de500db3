"""CPU time and memory of processes and their children."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import psutil


class Meter:
    """Measures CPU: ``meter = Meter({"engine": pid}); …; meter.spent(units)``."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = dict(pids)
        self.begin()

    def begin(self) -> None:
        """Count from now on."""
        self._before = {name: _seconds(pid) for name, pid in self._pids.items()}

    def spent(self, units: float) -> dict[str, float]:
        """Microseconds of CPU per unit since ``begin``, by name."""
        return {
            name: (_seconds(pid) - self._before[name]) / units * 1e6
            for name, pid in self._pids.items()
        }


def _seconds(pid: int) -> float:
    """CPU seconds of a process and its children, ended ones included, as Postgres' backends are."""
    process = psutil.Process(pid)
    total = 0.0
    for member in [process, *process.children(recursive=True)]:
        total += sum(member.cpu_times()[:4])
    return total


def rss(pid: int) -> int:
    """Bytes that a process has in memory now."""
    return int(psutil.Process(pid).memory_info().rss)


def peak_rss(pid: int) -> int:
    """The most bytes that a process has had in memory since its start, as Linux counts them."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/{pid}/status has no VmHWM")
