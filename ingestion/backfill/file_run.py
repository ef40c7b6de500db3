"""Loads a file from its place: copies it to this machine first, if it is elsewhere."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from ingestion.backfill.content import Content, loaded_before, open_backfill
from ingestion.backfill.errors import FileUnreadable
from ingestion.backfill.file import Format, HistoryFile, format_of, sha256, shown
from ingestion.backfill.gauge import QUARANTINE_LIMIT
from ingestion.backfill.load import DEFAULT_CHUNK_ROWS, load
from ingestion.backfill.outcome import Loaded
from ingestion.backfill.places import LocalPlace, RemotePlace, RemoteStream
from ingestion.backfill.read_options import ReadOptions
from ingestion.models import Table

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Settings:
    """How files are loaded. ``form``: the format, if the name does not show it.

    ``run``: the key of the run that loads them. ``most_bytes``: of a file that is copied.
    """

    form: Format | None = None
    options: ReadOptions = field(default_factory=ReadOptions)
    chunk_rows: int = DEFAULT_CHUNK_ROWS
    limit: int = QUARANTINE_LIMIT
    run: int | None = None
    most_bytes: int | None = None


class Progress(Protocol):
    """Is told how far a run is, in bytes."""

    def begins(self, what: str, total: int | None) -> None:
        """A step begins: ``what`` is ``reading``, ``copying`` or ``loading``."""
        ...

    def is_at(self, done: int) -> None:
        """The step has come so far."""
        ...

    def landed(self, done: int) -> None:
        """A chunk has landed, or was known before; the file is read so far. May raise Paused."""
        ...

    def remark(self, text: str) -> None:
        """Something of the file may be other than it was meant."""
        ...


def check(place: LocalPlace | RemotePlace, settings: Settings) -> None:
    """Refuse a file that can't be loaded, without reading it; raises FileUnreadable."""
    if isinstance(place, LocalPlace):
        place.described(settings.form, settings.options)
    else:
        format_of(place.name, place.location, settings.form, settings.options)


def run(
    table: Table, place: LocalPlace | RemotePlace, settings: Settings, progress: Progress
) -> Loaded:
    """Load one file; raises BackfillError, FileUnreadable and WarehouseError.

    A remote file that is loaded already and whose ETag has not changed is not read again.
    """
    if isinstance(place, RemotePlace):
        return _run_remote(table, place, settings, progress)
    file = place.described(settings.form, settings.options)
    progress.begins("reading", file.size)
    digest = sha256(place.path, progress.is_at)
    return _load(table, file, Content(place.name, place.location, digest), settings, progress)


def _run_remote(table: Table, place: RemotePlace, settings: Settings, progress: Progress) -> Loaded:
    form, compression = format_of(place.name, place.location, settings.form, settings.options)
    with tempfile.NamedTemporaryFile(prefix="backfill-") as copy:
        with place.opened() as stream:
            before = loaded_before(table, place.location, stream.etag, form, settings.options)
            if before is not None:
                return before
            progress.begins("copying", stream.size)
            digest, size = _copy(place, stream, copy, settings.most_bytes, progress)
        path = Path(copy.name)
        file = HistoryFile(path, form, compression, size, settings.options, place.location)
        content = Content(place.name, place.location, digest, stream.etag)
        return _load(table, file, content, settings, progress)


def _copy(
    place: RemotePlace,
    stream: RemoteStream,
    copy: IO[bytes],
    most: int | None,
    progress: Progress,
) -> tuple[str, int]:
    """Copy a remote file; returns its SHA-256 and size. Raises FileUnreadable.

    All is read from the copy, so that it can't change between its hash and its rows.
    """
    digest, size = hashlib.sha256(), 0
    _refuse_larger(place, stream.size, most)
    while block := stream.read(_BLOCK):
        digest.update(block)
        size += len(block)
        _refuse_larger(place, size, most)
        copy.write(block)
        progress.is_at(size)
    if stream.size not in (None, size):
        msg = f"{shown(place.location)}: it ended after {size:,} of {stream.size:,} bytes."
        raise FileUnreadable(msg)
    copy.flush()
    return digest.hexdigest(), size


def _refuse_larger(place: RemotePlace, size: int | None, most: int | None) -> None:
    if most is not None and size is not None and size > most:
        msg = (
            f"{shown(place.location)}: it is larger than {most:,} bytes, the most that is fetched."
        )
        raise FileUnreadable(msg)


def _load(
    table: Table, file: HistoryFile, content: Content, settings: Settings, progress: Progress
) -> Loaded:
    backfill = open_backfill(table, file, content, settings.chunk_rows)
    progress.begins("loading", file.size)
    return load(
        backfill,
        file,
        lambda chunk: progress.landed(chunk.read),
        settings.limit,
        progress.remark,
        settings.run,
    )
