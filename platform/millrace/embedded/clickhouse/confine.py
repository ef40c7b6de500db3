"""Confines this process with Landlock to its own data and the installed programs.

The engine has functions that read files and that its own checks allow. No query can show a file
that the process cannot open. Needs Linux 5.13 or later; elsewhere only the other walls hold.

Source: docs.kernel.org/userspace-api/landlock.html. Only threads that start after the confinement
inherit it, so it must come before the engine is loaded.
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
#: The rights that each version of Landlock can restrict, as a bit mask.
_KNOWN = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
#: Rights that apply to files; the kernel refuses rules with other rights on them.
_OF_FILES = _EXECUTE | _WRITE | _READ | 1 << 14 | 1 << 15

_READABLE = (
    "/usr", "/lib", "/lib64", "/bin", "/opt", "/sys", "/etc/localtime", "/etc/timezone",
    "/etc/ld.so.cache", "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/ssl",
    "/proc/meminfo", "/proc/cpuinfo", "/proc/stat", "/proc/loadavg", "/proc/uptime", "/proc/mounts",
    "/proc/filesystems", "/proc/version", "/proc/sys", "/proc/vmstat", "/proc/diskstats",
)  # fmt: skip
#: Files in /proc/self, without those that show the environment or the memory.
_OF_SELF = (
    "fd", "fdinfo", "maps", "smaps", "smaps_rollup", "stat", "statm", "status", "cgroup", "mounts",
    "mountinfo", "limits", "exe", "io", "schedstat", "net", "cmdline", "auxv",
)  # fmt: skip
_WRITABLE = ("/dev/null", "/dev/urandom", "/dev/random", "/dev/zero")


def _programs() -> list[str]:
    """Folders of the interpreter, its packages and this package; not the working directory."""
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
        """Allow ``rights`` on a path and below it; does nothing if the path does not exist."""
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
        """Allow everything on a path and below it."""
        self.allow(path, self._all)

    def enforce(self) -> None:
        """Give up all other access, irrevocably."""
        if self._libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "no_new_privs")
        self._call(_RESTRICT, self._handle, 0)
        os.close(self._handle)


def version() -> int:
    """The kernel's version of Landlock; 0 if it has none."""
    if sys.platform != "linux":
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    return max(0, int(libc.syscall(_CREATE, None, 0, 1)))


def confine(folders: Iterable[Path]) -> bool:
    """Give up all files except ``folders`` and the installed programs.

    Returns False, and changes nothing, if the kernel has no Landlock.
    """
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
