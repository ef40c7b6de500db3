"""A file of history: its format by its name, its identity by its bytes."""

from __future__ import annotations

import hashlib
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


def describe(path: Path, form: Format | None = None) -> HistoryFile:
    """What the file is, by its name unless ``form`` says it; raises FileUnreadable."""
    if not path.is_file():
        msg = f"{path}: there is no such file."
        raise FileUnreadable(msg)
    compression = COMPRESSIONS.get(path.suffix.lower())
    inner = Path(path.stem) if compression else path
    form = form or _SUFFIXES.get(inner.suffix.lower())
    if form is None:
        known = ", ".join(_SUFFIXES)
        msg = (
            f"{path}: its name does not say what it is. Name it with {known} (and .gz or .zst "
            "after it), or give --format."
        )
        raise FileUnreadable(msg)
    return HistoryFile(path, form, compression, path.stat().st_size)


def sha256(path: Path, advance: Callable[[int], None] = lambda _: None) -> str:
    """Of the file's bytes as they lie there; ``advance`` is told of bytes read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            advance(len(block))
    return digest.hexdigest()
