"""Which locations a tenant's members and keys may load from: not whatever this machine may read.

Public ``https://`` is open. ``settings.MILLRACE_BACKFILL_LOCATIONS`` opens others by how they
begin: folders, buckets, and web servers within the network. ``{tenant}`` stands for the tenant's
slug, such as ``s3://history/{tenant}/``. Buckets are read with the installation's own credentials,
so none is open by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import unquote

from django.conf import settings

from ingestion.backfill.errors import FileUnreadable
from ingestion.backfill.file import shown
from ingestion.backfill.places.expand import places_of
from ingestion.backfill.places.local import LocalPlace
from ingestion.backfill.places.place import MAGIC, RemotePlace
from ingestion.backfill.places.web import WebPlace

#: The most locations of one run.
MOST = 100


def permitted(texts: Iterable[str], tenant: str) -> list[LocalPlace | RemotePlace]:
    """The files of all locations that the tenant (its slug) may read, each once.

    Raises FileUnreadable for a location that is not open, or names no file.
    """
    places = [place for text in texts for place in _places(text, tenant)]
    return list({place.location: place for place in places}.values())


def check(texts: Sequence[str], tenant: str) -> None:
    """Refuse locations that the tenant may not read, without reading; raises FileUnreadable."""
    if not 0 < len(texts) <= MOST:
        msg = f"Give 1 to {MOST} locations, not {len(texts)}. A glob names many files."
        raise FileUnreadable(msg)
    for text in texts:
        if not _is_open(text, tenant):
            _public(text)


def safe(text: str) -> str:
    """The location without what may be secret, to be shown."""
    if text.partition("://")[0].lower() in ("http", "https"):
        text = WebPlace.of(text).location
    return shown(text)


def _places(text: str, tenant: str) -> Sequence[LocalPlace | RemotePlace]:
    if not _is_open(text, tenant):
        return [_public(text)]
    places = places_of(text)
    for place in places:
        if isinstance(place, LocalPlace) and not _is_within(place.path, tenant):
            # A symbolic link leads elsewhere.
            raise _closed(text)
    return places


def _public(text: str) -> WebPlace:
    if text.partition("://")[0].lower() != "https":
        raise _closed(text)
    return WebPlace.of(text, is_guarded=True)


def _is_open(text: str, tenant: str) -> bool:
    """Whether the operator has opened the location for the tenant."""
    path = unquote(text.partition("?")[0]) if text.startswith("http") else text
    if {".", ".."} & set(path.split("/")) or "\0" in text or "\\" in text:
        return False
    return any(
        text.startswith(beginning) and MAGIC.isdisjoint(beginning) for beginning in _opened(tenant)
    )


def _is_within(path: Path, tenant: str) -> bool:
    real = path.resolve()
    folders = (Path(opened).resolve() for opened in _opened(tenant) if opened.startswith("/"))
    return any(real.is_relative_to(folder) for folder in folders)


def _opened(tenant: str) -> list[str]:
    """How the locations begin that are open for the tenant; each ends with a slash."""
    entries = (entry.strip() for entry in settings.MILLRACE_BACKFILL_LOCATIONS)
    return [entry.replace("{tenant}", tenant).rstrip("/") + "/" for entry in entries if entry]


def _closed(text: str) -> FileUnreadable:
    scheme = text.partition("://")[0].lower()
    where = safe(text) if scheme in ("http", "https") else shown(text.rpartition("@")[2])
    return FileUnreadable(
        f"{where[:300]}: it is not open to you. Upload the file, give a public https:// URL, or "
        "ask the operator to open the location with MILLRACE_BACKFILL_LOCATIONS."
    )
