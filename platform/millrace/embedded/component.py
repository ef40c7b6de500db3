"""Components, the units that a stack starts and stops, and the programs they consist of."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from millrace.embedded import installation_secrets, ports, service_urls


@dataclass(frozen=True)
class Program:
    """One process, and how to start and stop it.

    ``stop_seconds`` after ``stop_signal`` it is killed.
    """

    name: str
    command: tuple[str, ...]
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = "TERM"
    stop_seconds: int = 10


class NotReady(Exception):
    """The component is not ready to serve yet."""


class Component(ABC):
    """A service, or one of Millrace's own processes, of the installation in ``home``."""

    name: ClassVar[str]
    #: Names of the ports that it listens on; clients connect to the first.
    ports: ClassVar[tuple[str, ...]] = ()
    #: Seconds it may take from its start until it serves.
    start_seconds: ClassVar[float] = 60.0

    def __init__(self, home: Path) -> None:
        self.home = home
        #: The folder of all its files.
        self.folder = home / self.name

    @property
    def port(self) -> int:
        """The port on 127.0.0.1 that clients connect to."""
        return ports.read(self.home)[self.ports[0]]

    @property
    def password(self) -> str:
        """The password of Millrace's user of this service."""
        return installation_secrets.read(self.home)[self.name]

    @property
    def urls(self) -> dict[str, str]:
        """All URLs of the installation; see ``service_urls.urls``."""
        return service_urls.urls(self.home)

    def why_unavailable(self) -> str | None:
        """Why it can't run on this machine and how to fix that; None if it can run."""
        return None

    def prepare(self) -> None:
        """Create what must exist before the start. The first time may take long."""
        self.folder.mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def programs(self) -> tuple[Program, ...]:
        """Its processes in the order to start them; the last one serves."""

    def check(self) -> None:
        """Raise NotReady (or OSError) unless it serves now."""
        connect(self.port)

    def complete(self) -> None:  # noqa: B027 - most have nothing to add
        """Finish the set-up once it serves; safe to repeat."""


def connect(port: int) -> None:
    """Raise OSError unless something accepts connections on the port."""
    socket.create_connection((service_urls.HOST, port), timeout=2).close()
