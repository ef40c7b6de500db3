"""A file of history: its format by its name, its identity by its bytes."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ingestion.backfill.errors import FileUnreadable


class Format(StrEnum):
    """How a file holds its rows."""

    NDJSON = "ndjson"
    CSV = "csv"
    PARQUET = "parquet"


COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
_SUFFIXES = {
    ".ndjson": Format.NDJSON,
    ".jsonl": Format.NDJSON,
    ".json": Format.NDJSON,
    ".csv": Format.CSV,
    ".parquet": Format.PARQUET,
}
_BLOCK = 1 << 20


@dataclass(frozen=True)
class HistoryFile:
    """``size`` in bytes as it lies on the disk; ``compression`` as pyarrow calls it, or None."""

    path: Path
    format: Format
    compression: str | None
    size: int

    @property
    def shown(self) -> str:
        return shown(self.path)


def shown(text: Path | str) -> str:
    """It without what would command a terminal, forge a line of ours, or is no UTF-8."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in str(text))


def describe(path: Path, form: Format | None = None) -> HistoryFile:
    """What the file is, by its name unless ``form`` says it; raises FileUnreadable."""
    try:
        kind = path.stat()
    except FileNotFoundError:
        msg = f"{shown(path)}: there is no such file."
        raise FileUnreadable(msg) from None
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    if not stat.S_ISREG(kind.st_mode):
        what = "a folder: name the files in it" if stat.S_ISDIR(kind.st_mode) else "no file"
        msg = f"{shown(path)}: it is {what}."
        raise FileUnreadable(msg)
    compression = COMPRESSIONS.get(path.suffix.lower())
    inner = Path(path.stem) if compression else path
    form = form or _SUFFIXES.get(inner.suffix.lower())
    if form is None:
        known = ", ".join(_SUFFIXES)
        msg = (
            f"{shown(path)}: its name does not say what it is. Name it with {known} (and .gz or "
            ".zst after it), or give --format."
        )
        raise FileUnreadable(msg)
    return HistoryFile(path, form, compression, kind.st_size)


def unreadable(path: Path, error: Exception) -> FileUnreadable:
    """What the system says of a file that it won't give."""
    words = getattr(error, "strerror", None) or str(error)
    return FileUnreadable(f"{shown(path)}: it can't be read: {words}.")


def sha256(path: Path, advance: Callable[[int], None] = lambda _: None) -> str:
    """Of the file's bytes as they lie there; ``advance`` is told of bytes read.

    Raises FileUnreadable.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                advance(len(block))
    except OSError as error:
        raise unreadable(path, error) from error
    return digest.hexdigest()
