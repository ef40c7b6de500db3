"""Refuses files in forms: only the page that loads history takes one, by a handler of its own."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import TooManyFilesSent
from django.core.files.uploadhandler import FileUploadHandler


class NoFiles(FileUploadHandler):
    """Refuses the first file of a form, so that nothing of it is kept."""

    def new_file(self, *_: Any, **__: Any) -> None:
        raise TooManyFilesSent("This page takes no files.")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        """Take nothing: no file begins."""

    def file_complete(self, file_size: int) -> None:
        """Give nothing: no file begins."""
