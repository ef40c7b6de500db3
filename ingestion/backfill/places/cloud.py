"""Objects in S3 and Google Cloud Storage, by Arrow's clients.

They take credentials, region and endpoint from where the cloud's own tools take them: environment
(``AWS_ACCESS_KEY_ID``, ``AWS_PROFILE``, ``AWS_ENDPOINT_URL``, ``GOOGLE_APPLICATION_CREDENTIALS``),
profile, or the machine's role.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow.fs as pa_fs
from fsspec.utils import glob_translate

from ingestion.backfill.errors import FileUnreadable
from ingestion.backfill.file import shown
from ingestion.backfill.places.place import MAGIC, RemotePlace, RemoteStream

_ANONYMOUS = "anonymous@"
#: Google's client would try for 15 minutes.
_OPTIONS = {"s3": "", "gs": "?retry_limit_seconds=30"}


@dataclass(frozen=True)
class CloudPlace(RemotePlace):
    """An object. ``path``: bucket and key, as they are."""

    scheme: str
    path: str
    files: pa_fs.FileSystem

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def location(self) -> str:
        return f"{self.scheme}://{self.path}"

    @contextmanager
    def opened(self) -> Iterator[RemoteStream]:
        with _readable(self.location):
            stream = self.files.open_input_stream(self.path)
        with stream:
            yield _CloudStream(self, stream)

    def etag(self, stream: Any) -> str:
        """The mark of the object's content, as of the stream's opening."""
        said = {name.lower(): value for name, value in stream.metadata().items()}
        etag: bytes = said.get("etag", b"")
        return etag.decode()


class _CloudStream:
    def __init__(self, place: CloudPlace, stream: Any) -> None:
        self._place, self._stream = place, stream
        with _readable(place.location):
            self.etag = place.etag(stream)
            self.size = place.files.get_file_info(place.path).size

    def read(self, count: int) -> bytes:
        with _readable(self._place.location):
            data: bytes = self._stream.read(count)
            if not data:
                self._refuse_changed()
        return data

    def _refuse_changed(self) -> None:
        """Arrow reads by ranges, so an object that was overwritten meanwhile could be mixed."""
        place = self._place
        with place.files.open_input_stream(place.path) as again:
            if place.etag(again) != self.etag:
                msg = f"{shown(place.location)}: it changed while it was read. Run it again."
                raise FileUnreadable(msg)


def named(scheme: str, path: str) -> list[CloudPlace]:
    """The object of that name, or those that match; raises FileUnreadable.

    ``gs://anonymous@bucket/…`` reads a public bucket without credentials.
    """
    login = _ANONYMOUS if scheme == "gs" and path.startswith(_ANONYMOUS) else ""
    path = path.removeprefix(login)
    location = f"{scheme}://{path}"
    bucket, _, key = path.partition("/")
    if "@" in bucket or not MAGIC.isdisjoint(bucket):
        msg = (
            f"{scheme}://{shown(path.rpartition('@')[2])}: give the bucket by its name, without "
            "credentials and without a pattern. Credentials come from the environment or profile."
        )
        raise FileUnreadable(msg)
    if not key or key.endswith("/"):
        msg = f"{shown(location)}: name the objects in it, such as {scheme}://{bucket}/{key}*."
        raise FileUnreadable(msg)
    with _readable(location):
        files, _ = pa_fs.FileSystem.from_uri(f"{scheme}://{login}{bucket}{_OPTIONS[scheme]}")
        if MAGIC.isdisjoint(path) or files.get_file_info(path).type == pa_fs.FileType.File:
            return [CloudPlace(scheme, path, files)]
        return [CloudPlace(scheme, name, files) for name in _matching(files, path)]


def _matching(files: pa_fs.FileSystem, pattern: str) -> list[str]:
    """The objects that match a glob, in the order of their names."""
    start = next(place for place, character in enumerate(pattern) if character in MAGIC)
    folder, rest = pattern[:start].rpartition("/")[0], pattern[start:]
    selector = pa_fs.FileSelector(
        folder, allow_not_found=True, recursive="/" in rest or "**" in rest
    )
    matches = re.compile(glob_translate(pattern)).match
    return sorted(
        info.path
        for info in files.get_file_info(selector)
        if info.type == pa_fs.FileType.File and matches(info.path)
    )


@contextmanager
def _readable(location: str) -> Iterator[None]:
    """Turn what Arrow's clients raise into FileUnreadable."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileUnreadable(f"{shown(location)}: the file does not exist.") from error
    except (OSError, ValueError) as error:  # pyarrow's own errors are both
        words = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FileUnreadable(f"{shown(location)}: it can't be read: {shown(words)}") from error
