"""The ports of an installation on loopback, chosen once, and again if another process has one."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterable
from pathlib import Path

from millrace.embedded import files

#: Below the range from which Linux takes the ports of outgoing connections (32768 and above).
_RANGE = range(20_000, 32_000)
#: The file in an installation's home folder that has the ports.
FILE = "ports.json"
_ATTEMPTS = 200

#: Names of all ports of an installation.
NAMES = (
    "postgres",
    "clickhouse",
    "valkey",
    "kafka",
    "kafka_controller",
    "rabbitmq",
    "rabbitmq_distribution",
    "epmd",
    "web",
    "supervisor",
)


class NoFreePort(RuntimeError):
    """No free port between 20000 and 32000; the machine's administrator must act."""


def is_free(port: int) -> bool:
    """Whether this process could listen on the port on 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def read(home: Path) -> dict[str, int]:
    """The ports of the installation. Chooses missing ones; safe to call from many processes."""
    known: dict[str, int] = files.read_json(home / FILE)
    if all(name in known for name in NAMES):
        return known
    with files.locked(home / ".ports.lock"):
        return _allocate(home, files.read_json(home / FILE))


def replace_taken(home: Path, names: Iterable[str]) -> dict[str, int]:
    """Choose new ports for those of ``names`` whose port is taken; returns all ports.

    Only for services that are not running: the port of a running service is taken, too.
    """
    read(home)
    with files.locked(home / ".ports.lock"):
        known: dict[str, int] = files.read_json(home / FILE)
        kept = {
            name: port for name, port in known.items() if name not in set(names) or is_free(port)
        }
        return known if kept == known else _allocate(home, kept)


def _allocate(home: Path, known: dict[str, int]) -> dict[str, int]:
    ports = dict(known)
    for name in NAMES:
        if name not in ports:
            ports[name] = choose(set(ports.values()))
    if ports != known:
        files.write_json(home / FILE, ports)
    return ports


def choose(taken: set[int]) -> int:
    """A port that is free now and not in ``taken``. Raises NoFreePort."""
    # Seeded by the system, so that installations starting together don't try the same sequence.
    chance = random.SystemRandom()
    for _ in range(_ATTEMPTS):
        port = chance.choice(_RANGE)
        if port not in taken and is_free(port):
            return port
    raise NoFreePort(
        f"No free port found on 127.0.0.1 between {_RANGE.start} and {_RANGE.stop}. "
        "Stop the programs that listen there."
    )
