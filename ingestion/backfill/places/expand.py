"""Finds the files that an argument of the command line names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ingestion.backfill.errors import FileUnreadable
from ingestion.backfill.file import shown
from ingestion.backfill.places import cloud, local, web
from ingestion.backfill.places.local import LocalPlace
from ingestion.backfill.places.place import MAGIC, RemotePlace


def expand(texts: Iterable[str]) -> list[LocalPlace | RemotePlace]:
    """The files of all arguments, each once; raises FileUnreadable if one names none.

    An argument is a path, ``s3://``, ``gs://`` or ``https://``. Paths and keys may be globs, with
    ``**`` for any folders. A file with such a name comes before the glob.
    """
    places = [place for text in texts for place in places_of(text)]
    return list({place.location: place for place in places}.values())


def places_of(text: str) -> Sequence[LocalPlace | RemotePlace]:
    """The files that one argument names; raises FileUnreadable if it names none."""
    scheme, separator, rest = text.partition("://")
    if not separator or not scheme.isalnum():
        return _local(text)
    match scheme.lower():
        case "https" | "http":
            return [web.WebPlace.of(text)]
        case "s3" | "gs":
            return _some(text, cloud.named(scheme.lower(), rest))
    msg = f"{shown(text)}: {scheme}:// can't be read. Give a path, s3://, gs:// or https://."
    raise FileUnreadable(msg)


def _local(text: str) -> Sequence[LocalPlace | RemotePlace]:
    if MAGIC.isdisjoint(text) or Path(text).exists():
        return [LocalPlace(Path(text))]
    return _some(text, local.matching(text))


def _some(
    text: str, places: Sequence[LocalPlace | RemotePlace]
) -> Sequence[LocalPlace | RemotePlace]:
    if not places:
        msg = f"{shown(text)}: no file matches it."
        raise FileUnreadable(msg)
    return places
