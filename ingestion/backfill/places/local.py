"""Files on this machine."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path

from ingestion.backfill.places.place import FilePlace


@dataclass(frozen=True)
class LocalPlace(FilePlace):
    """A file on this machine."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def location(self) -> str:
        return str(self.path.absolute())


def matching(pattern: str) -> list[LocalPlace]:
    """The files that match a glob, in the order of their names; folders are left out."""
    paths = sorted(map(Path, glob.glob(pattern, recursive=True)))  # noqa: PTH207 - ** and absolute
    return [LocalPlace(path) for path in paths if path.is_file()]
