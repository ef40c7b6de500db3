"""Landlock: the kernel lets this process see its own data and the installed programs, no more.

The engine can read files by functions that its own checks let pass. What it cannot open, no query
can show. Needs Linux 5.13 or later; elsewhere the other walls stand alone.

Source: docs.kernel.org/userspace-api/landlock.html. Threads inherit the confinement only when they
start after it, so it must come before the engine is loaded.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # The same on every architecture.
_NO_NEW_PRIVILEGES = 38
_EXECUTE, _WRITE, _READ, _LIST = 1, 2, 4, 8
_LOOK = _READ | _LIST
#: What each version of Landlock can forbid: the rights known since then, as a mask.
_KNOWN = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
#: Rights that make sense for a file that is no folder.
_OF_FILES = _EXECUTE | _WRITE | _READ | 1 << 14 | 1 << 15

_READABLE = (
    "/usr", "/lib", "/lib64", "/bin", "/opt", "/sys", "/etc/localtime", "/etc/timezone",
    "/etc/ld.so.cache", "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/ssl",
    "/proc/meminfo", "/proc/cpuinfo", "/proc/stat", "/proc/loadavg", "/proc/uptime", "/proc/mounts",
    "/proc/filesystems", "/proc/version", "/proc/sys", "/proc/vmstat", "/proc/diskstats",
)  # fmt: skip
#: Of /proc/self, all that tells nothing of the environment or the memory.
_OF_SELF = (
    "fd", "fdinfo", "maps", "smaps", "smaps_rollup", "stat", "statm", "status", "cgroup", "mounts",
    "mountinfo", "limits", "exe", "io", "schedstat", "net", "cmdline", "auxv",
)  # fmt: skip
_WRITABLE = ("/dev/null", "/dev/urandom", "/dev/random", "/dev/zero")


def _programs() -> list[str]:
    """The interpreter, what is installed for it, and this package; not the working directory."""
    here = str(Path(__file__).resolve().parents[2])
    return [sys.prefix, sys.base_prefix, here, *sysconfig.get_paths().values()]


class _Ruleset:
    def __init__(self, version: int) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._all = _KNOWN[max(known for known in _KNOWN if known <= version)]
        attributes = struct.pack("<Q", self._all)
        self._handle = self._call(_CREATE, attributes, len(attributes), 0)

    def _call(self, *arguments: int | bytes) -> int:
        result = int(self._libc.syscall(*arguments))
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result

    def allow(self, path: str, rights: int) -> None:
        """Let the process do ``rights`` below a path that exists."""
        try:
            handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            return
        try:
            rights &= self._all if Path(path).is_dir() else self._all & _OF_FILES
            rule = struct.pack("<Qi", rights, handle)
            self._call(_ADD, self._handle, 1, rule, 0)
        finally:
            os.close(handle)

    def allow_all(self, path: str) -> None:
        """Let the process do anything below a path."""
        self.allow(path, self._all)

    def enforce(self) -> None:
        """Give up everything else, for good."""
        if self._libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "no_new_privs")
        self._call(_RESTRICT, self._handle, 0)
        os.close(self._handle)


def version() -> int:
    """The kernel's version of Landlock, 0 where it has none."""
    if sys.platform != "linux":
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    return max(0, int(libc.syscall(_CREATE, None, 0, 1)))


def confine(folders: Iterable[Path]) -> bool:
    """Give up all files but ``folders`` and the installed programs; False where that can't be."""
    known = version()
    if not known:
        return False
    rules = _Ruleset(known)
    for path in (*_READABLE, *_programs()):
        rules.allow(path, _LOOK | _EXECUTE)
    for name in _OF_SELF:
        rules.allow(f"/proc/self/{name}", _LOOK | _WRITE)
    for path in _WRITABLE:
        rules.allow(path, _LOOK | _WRITE)
    for folder in folders:
        rules.allow_all(str(folder))
    rules.enforce()
    return True
