"""Opens files, compressed or not, and reports how far they have been read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ingestion.backfill.errors import BackfillError, FileUnreadable
from ingestion.backfill.file import HistoryFile, shown

#: Is told, before the first row, what of a file may be other than it was meant.
Remark = Callable[[str], None]


def unheard(_: str) -> None:
    """A ``Remark`` that nobody hears."""


@dataclass(frozen=True, slots=True)
class Block:
    """Successive rows, as JSON. ``read``: bytes of the file read so far, approximately."""

    messages: list[bytes]
    read: int


@contextmanager
def readable(file: HistoryFile) -> Iterator[None]:
    """Turn any error while a file is read into FileUnreadable.

    A broken file can make pyarrow, json and csv raise almost anything: for a number out of range, a
    name that is not UTF-8, or too little memory for what the file claims to hold.
    """
    try:
        yield
    except BackfillError:
        raise
    except Exception as error:
        words = str(error).splitlines()[0] if str(error) else type(error).__name__
        msg = f"{file.shown}: it can't be read as {_kind(file)}: {shown(words)}"
        raise FileUnreadable(msg) from error


@contextmanager
def opened(file: HistoryFile) -> Iterator[tuple[Any, Any]]:
    """The stream of the file's content, and the raw file, whose ``tell()`` is the progress.

    A file that ends within a compressed frame raises OSError. pyarrow decompresses, because the
    zstandard package takes a truncated frame for the end (python-zstandard, "read_across_frames").
    """
    with pa.OSFile(str(file.path)) as raw:
        if file.compression is None:
            yield raw, raw
        else:
            with pa.CompressedInputStream(raw, file.compression) as stream:
                yield stream, raw


def _kind(file: HistoryFile) -> str:
    return f"{file.format}, {file.compression}" if file.compression else str(file.format)
