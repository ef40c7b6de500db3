"""Running a program as ``nobody`` where this process is root, as PostgreSQL demands."""

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
    """Give a file or folder to the user; nothing to do unless root."""
    if is_root():
        entry = pwd.getpwnam(USER)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def prefix(program: Path, folder: Path) -> tuple[str, ...]:
    """What goes before a command to run ``program`` on ``folder`` as the user; empty unless root.

    A folder in root's own home can't be reached by anyone else. Instead of opening that home to
    all, the one process gets the capability to pass. Raises Unavailable.
    """
    if not is_root():
        return ()
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise Unavailable(
            "PostgreSQL does not run as root, and there is no setpriv here to run it as another "
            "user. Run as a user who is not root, or install util-linux."
        )
    command = (setpriv, f"--reuid={USER}", f"--regid={_group()}", "--clear-groups")
    capability = _capability(program, folder)
    if capability is None:
        return command
    # PostgreSQL looks for its own programs by access(2), which leaves capabilities aside for
    # everyone but root, unless this bit is set. What the process keeps is the one capability.
    passing = ("--securebits=+no_setuid_fixup", f"--inh-caps=+{capability}")
    return (*command, *passing, f"--ambient-caps=+{capability}")


def _group() -> str:
    return str(pwd.getpwnam(USER).pw_gid)


def _capability(program: Path, folder: Path) -> str | None:
    """The least that is needed; in many containers root has no ``dac_read_search`` to hand on."""
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
