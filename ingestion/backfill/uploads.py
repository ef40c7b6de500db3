"""Uploaded files of history, in a folder for each tenant below ``settings.MILLRACE_UPLOAD_DIR``.

Web servers write them and workers read them, so several machines need a shared folder. A file is
removed once its run is done, or some days after it has ended in another way.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from ingestion.backfill.errors import BackfillError, FileUnreadable
from ingestion.backfill.file import COMPRESSIONS, SUFFIXES
from ingestion.models import BackfillRun, RunState
from ingestion.models.run import GOES_ON

log = logging.getLogger(__name__)

#: The most characters of an upload's name.
MOST_NAME = 200
#: Seconds after which a file that belongs to no run is taken for a broken upload.
BROKEN = 3600


class UploadRefused(BackfillError):
    """The upload is too large, or can't be stored now. Nothing of it is kept."""


class TooLarge(UploadRefused):
    """The upload has more bytes than the installation takes."""


def checked_name(text: str) -> str:
    """The name to show for an upload: its last part, printable; raises FileUnreadable.

    A name alone never says where the file is stored.
    """
    last = re.split(r"[/\\]", text)[-1].strip()
    name = "".join(character for character in last if character.isprintable())[-MOST_NAME:]
    if not name.strip("."):
        raise FileUnreadable("The file has no name. Name it, such as orders.csv.gz.")
    return name


def key_of(name: str) -> str:
    """A new key for a file of that name. It keeps the endings that show format and compression."""
    endings = (ending.lower() for ending in Path(name).suffixes[-2:])
    kept = [ending for ending in endings if ending in SUFFIXES or ending in COMPRESSIONS]
    return uuid.uuid4().hex + "".join(kept)


class Upload:
    """Writes one upload, block by block. Without ``keep`` nothing is left of it."""

    def __init__(self, tenant: str, name: str) -> None:
        """Raise FileUnreadable if there is no name, UploadRefused if nothing can be stored."""
        self.name = checked_name(name)
        self.key = key_of(self.name)
        self.size = 0
        self._path = path_of(tenant, self.key)
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = self._path.open("xb")
        except OSError as error:
            raise self._failed(error) from error

    def write(self, block: bytes) -> None:
        """Append a block; raises TooLarge and UploadRefused, and leaves nothing then."""
        self.size += len(block)
        if self.size > settings.MILLRACE_UPLOAD_MAX_BYTES:
            self.discard()
            raise TooLarge(too_large())
        try:
            self._file.write(block)
        except OSError as error:
            self.discard()
            raise self._failed(error) from error

    def keep(self) -> None:
        """Close the file; raises UploadRefused if it is empty or can't be stored."""
        try:
            self._file.close()
        except OSError as error:
            self.discard()
            raise self._failed(error) from error
        if not self.size:
            self.discard()
            raise UploadRefused(f"{self.name}: the upload is empty. Nothing was stored.")

    def discard(self) -> None:
        """Remove what was written."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def _failed(self, error: OSError) -> UploadRefused:
        log.error("An upload can't be stored in MILLRACE_UPLOAD_DIR: %s", error)
        return UploadRefused(
            f"{self.name}: the upload can't be stored now. The operator finds the reason in the "
            "log of the web server."
        )


def stored(tenant: str, name: str, blocks: Iterable[bytes]) -> Upload:
    """Store an upload; raises FileUnreadable and UploadRefused. Nothing is left of a broken one."""
    upload = Upload(tenant, name)
    try:
        for block in blocks:
            upload.write(block)
    except BaseException:
        upload.discard()
        raise
    upload.keep()
    return upload


def too_large() -> str:
    """What an upload is told that is too large."""
    most = settings.MILLRACE_UPLOAD_MAX_BYTES
    return (
        f"The file is larger than {most:,} bytes, the most that an upload may have. Divide it, or "
        "put it where Millrace can fetch it and give its location."
    )


def folder_of(tenant: str) -> Path:
    """The folder of a tenant's uploads. ``tenant``: its slug."""
    return Path(settings.MILLRACE_UPLOAD_DIR) / tenant


def path_of(tenant: str, key: str) -> Path:
    """Where an upload is."""
    return folder_of(tenant) / key


def remove(tenant: str, key: str) -> None:
    """Remove an upload, if it is there."""
    path_of(tenant, key).unlink(missing_ok=True)


def remove_old() -> int:
    """Remove uploads that no run needs any more; returns how many."""
    needed, known = _keys()
    removed = 0
    for path in _files():
        is_broken = path.name not in known and _age(path) > BROKEN
        if is_broken or (path.name in known and path.name not in needed):
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def _keys() -> tuple[set[str], set[str]]:
    """The keys of uploads that runs still need, and those of all runs."""
    oldest = timezone.now() - timedelta(days=settings.MILLRACE_UPLOAD_DAYS)
    rows = BackfillRun.across_tenants.exclude(upload="")
    needed = {
        run.upload
        for run in rows.exclude(state=RunState.DONE).only("upload", "state", "finished_at")
        if run.state in GOES_ON or run.finished_at is None or run.finished_at > oldest
    }
    return needed, set(rows.values_list("upload", flat=True))


def _files() -> Iterator[Path]:
    yield from Path(settings.MILLRACE_UPLOAD_DIR).glob("*/*")


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:  # another process has removed it
        return 0.0
