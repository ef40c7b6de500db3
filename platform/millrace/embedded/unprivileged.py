"""Runs a program as ``nobody`` if this process is root, because PostgreSQL refuses to be root."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
from pathlib import Path

from millrace.embedded.errors import Unavailable

USER = "nobody"
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2
_SEARCH = stat.S_IXOTH
_READ = stat.S_IROTH | stat.S_IXOTH


def is_root() -> bool:
    """Whether this process is root."""
    return os.geteuid() == 0


def own(path: Path) -> None:
    """Give a file or folder to ``nobody``; does nothing unless root."""
    if is_root():
        entry = pwd.getpwnam(USER)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def prefix(program: Path, folder: Path) -> tuple[str, ...]:
    """The words before a command that run ``program`` on ``folder`` as ``nobody``; () unless root.

    Other users can't reach a folder in root's home. Instead of opening that home to everyone, only
    this process gets the capability to pass. Raises Unavailable.
    """
    if not is_root():
        return ()
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise Unavailable(
            "PostgreSQL does not run as root, and setpriv, which would run it as another user, is "
            "missing. Run this as a user who is not root, or install util-linux."
        )
    command = (setpriv, f"--reuid={USER}", f"--regid={_group()}", "--clear-groups")
    capability = _capability(program, folder)
    if capability is None:
        return command
    # PostgreSQL finds its own programs with access(2), which ignores the capabilities of users
    # other than root, unless this bit is set. The process keeps only this one capability.
    passing = ("--securebits=+no_setuid_fixup", f"--inh-caps=+{capability}")
    return (*command, *passing, f"--ambient-caps=+{capability}")


def _group() -> str:
    return str(pwd.getpwnam(USER).pw_gid)


def _capability(program: Path, folder: Path) -> str | None:
    """The smallest sufficient capability, or None.

    In many containers root does not have ``dac_read_search``, so can't hand it on.
    """
    if not _others_may(program, _READ):
        return "dac_override"
    if _reachable(program) and _reachable(folder):
        return None
    return "dac_read_search" if _has_capability(_CAP_DAC_READ_SEARCH) else "dac_override"


def _reachable(path: Path) -> bool:
    return all(_others_may(parent, _SEARCH) for parent in path.resolve().parents)


def _others_may(path: Path, bits: int) -> bool:
    return path.stat().st_mode & bits == bits


def _has_capability(number: int) -> bool:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapBnd:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return False
