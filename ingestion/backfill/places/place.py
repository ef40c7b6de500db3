"""What all places have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import Protocol

#: Characters that make a path a glob.
MAGIC = frozenset("*?[")


class RemoteStream(Protocol):
    """The bytes of a remote file. ``size``: in bytes; None if the server does not say.

    ``etag``: the server's mark of this content, which changes with it; '' if there is none.
    """

    size: int | None
    etag: str

    def read(self, count: int) -> bytes:
        """The next bytes, at most ``count``; b'' at the end. Raises FileUnreadable."""
        ...


class FilePlace(ABC):
    """Where one file is."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The file's name, which shows its format."""

    @property
    @abstractmethod
    def location(self) -> str:
        """The whole path or URL, without anything secret."""


class RemotePlace(FilePlace):
    """A file that is copied to this machine before it is loaded."""

    @abstractmethod
    def opened(self) -> AbstractContextManager[RemoteStream]:
        """The file's bytes from the beginning; raises FileUnreadable."""
