"""Files on this machine."""

from __future__ import annotations

import glob
from dataclasses import dataclass, replace
from pathlib import Path

from ingestion.backfill.errors import FileUnreadable
from ingestion.backfill.file import Format, HistoryFile, describe, format_of, shown
from ingestion.backfill.places.place import FilePlace
from ingestion.backfill.read_options import ReadOptions


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

    def described(self, form: Format | None, options: ReadOptions) -> HistoryFile:
        """The file with its format and size; raises FileUnreadable."""
        return describe(self.path, form, options)


@dataclass(frozen=True)
class UploadedPlace(LocalPlace):
    """A file that was uploaded under ``title``. Where it lies is nobody's business."""

    title: str

    @property
    def name(self) -> str:
        return self.title

    @property
    def location(self) -> str:
        return f"upload://{self.title}"

    def described(self, form: Format | None, options: ReadOptions) -> HistoryFile:
        format_of(self.title, self.title, form, options)
        if not self.path.is_file():
            msg = f"{shown(self.title)}: the upload is no longer there. Upload it again."
            raise FileUnreadable(msg)
        return replace(super().described(form, options), location=self.title)


def matching(pattern: str) -> list[LocalPlace]:
    """The files that match a glob, in the order of their names; folders are left out."""
    paths = sorted(map(Path, glob.glob(pattern, recursive=True)))  # noqa: PTH207 - ** and absolute
    return [LocalPlace(path) for path in paths if path.is_file()]
