"""Which backfill a file belongs to: the same content is the same backfill, whatever its name."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Exists, OuterRef, Q

from ingestion.backfill.errors import BackfillError
from ingestion.backfill.file import Format, HistoryFile, shown
from ingestion.backfill.outcome import Loaded
from ingestion.backfill.read_options import ReadOptions
from ingestion.models import Backfill, BackfillChunk, BackfillState, Table


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds. ``sha256``: of its bytes. ``etag``: its server's mark of them, or ''.

    ``name`` and ``location``: of the file that it is from.
    """

    name: str
    location: str
    sha256: str
    etag: str = ""


def open_backfill(table: Table, file: HistoryFile, content: Content, chunk_rows: int) -> Backfill:
    """The backfill of this content into this table: a new one, or one begun before.

    A backfill begun before keeps its ``chunk_rows``. Raises BackfillError if one of other content
    was begun from the same location and is not done.
    """
    location = _as_utf_8(content.location)
    _refuse_changed(table, location, content.sha256)
    backfill, is_new = Backfill.across_tenants.get_or_create(
        table=table,
        sha256=content.sha256,
        defaults={
            "name": _as_utf_8(content.name)[:500],
            "location": location,
            "etag": content.etag,
            "format": file.format,
            "chunk_rows": chunk_rows,
        },
    )
    if not is_new and (not backfill.location or backfill.location == location):
        # Of an earlier release, or written anew with the same bytes.
        backfill.location, backfill.etag = location, content.etag
        backfill.save(update_fields=["location", "etag"])
    return backfill


def _refuse_changed(table: Table, location: str, sha256: str) -> None:
    """Raise BackfillError if rows of an earlier content of this file are there, but not all."""
    others = Backfill.across_tenants.filter(table=table, location=location).exclude(
        Q(sha256=sha256) | Q(state=BackfillState.DONE)
    )
    for other in others.filter(
        Exists(BackfillChunk.across_tenants.filter(backfill=OuterRef("pk")))
    ):
        msg = (
            f"{shown(location)}: it has changed since its load into {table} was begun, and "
            f"{other.rows:,} rows of what it held are there. Put back what it held (SHA-256 "
            f"{other.sha256[:12]}…) and continue with that. Or load it under another name: then "
            "rows that both contents have are there twice."
        )
        raise BackfillError(msg)


def _as_utf_8(name: str) -> str:
    """The name as Postgres takes it, since a file's name may hold any bytes."""
    return name.encode("utf-8", "replace").decode()


def loaded_before(
    table: Table, location: str, etag: str, form: Format, options: ReadOptions
) -> Loaded | None:
    """The outcome for a remote file that is loaded already and has not changed since; else None.

    Raises BackfillError if it was read with other options.
    """
    done = Backfill.across_tenants.filter(
        table=table, location=_as_utf_8(location), etag=etag, state=BackfillState.DONE
    ).first()
    if not etag or done is None:
        return None
    refuse_other_options(done, form, options)
    return Loaded(0, 0, done.rows, done.rows, done.quarantined, done.pk)


def refuse_other_options(backfill: Backfill, form: Format, options: ReadOptions) -> None:
    """Raise BackfillError if this run is to read the file in another way than an earlier one.

    The chunks count rows, so another way could make other rows of the same chunk.
    """
    if not backfill.chunks.exists():
        return
    begun = ReadOptions.from_json(backfill.options)
    wanted = begun.differing(options)
    if form != backfill.format:
        wanted["--format"] = str(form)
    if wanted:
        kept = {"--format": backfill.format, **begun.named()}
        changes = ", ".join(
            f"{name} {value!r} ({repr(kept[name]) if name in kept else 'without'})"
            for name, value in wanted.items()
        )
        msg = (
            f"{backfill.name}: its load into {backfill.table} was begun with other options, and "
            "the rows that are there were read with those. They can't be changed now (in brackets "
            f"what they were): {changes}. Give what they were, or leave them out: it is kept."
        )
        raise BackfillError(msg)
