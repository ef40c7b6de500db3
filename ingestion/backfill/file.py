"""A file of history: its name gives its format, and its bytes its identity."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from ingestion.backfill.errors import FileUnreadable
from ingestion.backfill.read_options import ReadOptions


class Format(StrEnum):
    """The format of a file's rows."""

    NDJSON = "ndjson"
    CSV = "csv"
    PARQUET = "parquet"


COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
SUFFIXES = {
    ".ndjson": Format.NDJSON,
    ".jsonl": Format.NDJSON,
    ".json": Format.NDJSON,
    ".csv": Format.CSV,
    ".parquet": Format.PARQUET,
}
#: The formats that an option means something to.
_FORMATS = {
    "--delimiter": (Format.CSV,),
    "--encoding": (Format.CSV, Format.NDJSON),
    "--null": (Format.CSV,),
}
_BLOCK = 1 << 20


@dataclass(frozen=True)
class HistoryFile:
    """A file to load. ``size``: bytes on disk. ``compression``: pyarrow's name for it, or None.

    ``location``: the URL that the file at ``path`` is a copy of, or ''.
    """

    path: Path
    format: Format
    compression: str | None
    size: int
    options: ReadOptions = field(default_factory=ReadOptions)
    location: str = ""

    @property
    def shown(self) -> str:
        """The path or URL as it is safe to print."""
        return shown(self.location or self.path)


def shown(text: Path | str) -> str:
    """The text with unprintable characters replaced.

    They could control a terminal, forge a line of Millrace's output, or not be UTF-8.
    """
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"
        for character in str(text)
    )


def describe(
    path: Path, form: Format | None = None, options: ReadOptions | None = None
) -> HistoryFile:
    """The file's format, by its name unless ``form`` gives it; raises FileUnreadable.

    Also raises it for options that mean nothing to the format.
    """
    options = options or ReadOptions()
    try:
        status = path.stat()
    except FileNotFoundError:
        msg = f"{shown(path)}: the file does not exist."
        raise FileUnreadable(msg) from None
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    if not stat.S_ISREG(status.st_mode):
        is_folder = stat.S_ISDIR(status.st_mode)
        what = "it is a folder: name the files in it" if is_folder else "it is not a regular file"
        msg = f"{shown(path)}: {what}."
        raise FileUnreadable(msg)
    form, compression = format_of(path.name, str(path), form, options)
    return HistoryFile(path, form, compression, status.st_size, options)


def format_of(
    name: str, location: str, form: Format | None, options: ReadOptions
) -> tuple[Format, str | None]:
    """The format and compression that a file's name shows; raises FileUnreadable.

    Also raises it for options that mean nothing to the format. ``form``: the format, whatever the
    name shows. ``location``: what the error calls the file.
    """
    suffix = Path(name).suffix.lower()
    compression = COMPRESSIONS.get(suffix)
    form = form or SUFFIXES.get(Path(Path(name).stem).suffix.lower() if compression else suffix)
    if form is None:
        known = ", ".join(SUFFIXES)
        msg = (
            f"{shown(location)}: its name does not show its format. End its name with {known} (and "
            ".gz or .zst after that), or give --format."
        )
        raise FileUnreadable(msg)
    for option in options.named():
        if form not in _FORMATS[option]:
            takes = " and ".join(_FORMATS[option])
            msg = f"{shown(location)}: {option} is for {takes}, and this file is {form}."
            raise FileUnreadable(msg)
    return form, compression


def unreadable(path: Path, error: Exception) -> FileUnreadable:
    """The error for a file that the operating system does not let us read."""
    words = getattr(error, "strerror", None) or str(error)
    return FileUnreadable(f"{shown(path)}: it can't be read: {words}.")


def sha256(path: Path, is_at: Callable[[int], None] = lambda _: None) -> str:
    """The SHA-256 of the file's bytes on disk, in hex; raises FileUnreadable.

    Calls ``is_at`` with the bytes read so far, after each block.
    """
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                size += len(block)
                is_at(size)
    except OSError as error:
        raise unreadable(path, error) from error
    return digest.hexdigest()
