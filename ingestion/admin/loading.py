"""The page that loads files of history into a table: an upload, or locations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django import forms
from django.conf import settings
from django.core.files.uploadhandler import FileUploadHandler, StopUpload
from django.http import HttpRequest
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from ingestion.backfill import read_options
from ingestion.backfill.errors import BackfillError
from ingestion.backfill.file import Format
from ingestion.backfill.file_run import Settings
from ingestion.backfill.gauge import QUARANTINE_LIMIT
from ingestion.backfill.read_options import ReadOptions
from ingestion.backfill.uploads import Upload, too_large
from ingestion.errors import IngestionError
from ingestion.models import BackfillRun, Table
from ingestion.services import backfill_runs

#: Bytes of a form beside its file.
_FORM_BYTES = 1 << 20


class FileForm(forms.Form):
    """Draws the field for the file. What it sends, ``StoringHandler`` takes."""

    file = forms.FileField(required=False, widget=UnfoldAdminFileFieldWidget)


class LoadForm(forms.Form):
    locations = forms.CharField(
        required=False,
        max_length=20_000,
        label="Or locations",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "spellcheck": "false"}),
        help_text="Instead of a file: one URL a line. Public https:// is open; buckets and folders "
        "are if the operator has opened them for you, and may be globs.",
    )
    format = forms.ChoiceField(
        required=False,
        choices=[("", "By the name"), *((str(form), str(form)) for form in Format)],
        widget=UnfoldAdminSelectWidget,
        help_text="If the name does not show it.",
    )
    delimiter = forms.CharField(
        required=False,
        max_length=3,
        strip=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="The character between the fields of CSV, or tab. Empty: what the header shows.",
    )
    encoding = forms.CharField(
        required=False,
        max_length=40,
        widget=UnfoldAdminTextInputWidget,
        help_text="Of CSV and JSON, such as latin-1. Empty: by the byte order mark, else UTF-8.",
    )
    null = forms.CharField(
        required=False,
        max_length=100,
        strip=False,
        label="Null marker",
        widget=UnfoldAdminTextInputWidget,
        help_text="The field of CSV that is no value, such as NA. Empty: there is none.",
    )
    quarantine_limit = forms.IntegerField(
        min_value=0,
        max_value=100,
        initial=QUARANTINE_LIMIT,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Stop once more than this percentage of the rows do not fit. 0: never.",
    )

    def clean_delimiter(self) -> str:
        return _checked(read_options.delimiter, self.cleaned_data["delimiter"])

    def clean_encoding(self) -> str:
        return _checked(read_options.encoding, self.cleaned_data["encoding"])

    def clean_null(self) -> str:
        return _checked(read_options.null_marker, self.cleaned_data["null"])


def _checked(check: Any, text: str) -> str:
    try:
        return str(check(text)) if text else ""
    except ValueError as error:
        raise forms.ValidationError(str(error)) from error


class StoringHandler(FileUploadHandler):
    """Writes the form's file to the tenant's folder of uploads, block by block.

    ``trouble``: why there is no ``upload``, if one was sent.
    """

    def __init__(self, tenant: str) -> None:
        super().__init__()
        self._tenant = tenant
        self.upload: Upload | None = None
        self.trouble = ""

    def new_file(self, field_name: str, file_name: str, *_: Any, **__: Any) -> None:
        with self._refusing():
            self.upload = Upload(self._tenant, file_name)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        with self._refusing():
            if self.upload is not None:
                self.upload.write(raw_data)

    def file_complete(self, file_size: int) -> None:
        with self._refusing():
            if self.upload is not None:
                self.upload.keep()

    def forget(self) -> None:
        """Remove the upload, unless a run has it."""
        if self.upload is not None:
            self.upload.discard()
            self.upload = None

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Note what refuses the upload, and read the rest of the form without keeping it."""
        try:
            yield
        except BackfillError as error:
            self.trouble, self.upload = str(error), None
            raise StopUpload(connection_reset=False) from error


def refused(request: HttpRequest) -> str:
    """Why a request is not even read: it is too large. '' if it is read."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    most = settings.MILLRACE_UPLOAD_MAX_BYTES + _FORM_BYTES
    return too_large() if not length.isdecimal() or int(length) > most else ""


def started(
    table: Table, request: HttpRequest, form: LoadForm, handler: StoringHandler
) -> tuple[BackfillRun | None, str]:
    """The run that the form has started, or what is wrong with it."""
    if "end" not in request.POST and not handler.trouble:  # the form's last field
        return None, "The upload broke off. Nothing was stored. Try again."
    if handler.trouble or not form.is_valid():
        return None, handler.trouble
    locations = form.cleaned_data["locations"].split()
    if bool(locations) == (handler.upload is not None):
        return None, "Choose a file, or give locations: one of the two."
    try:
        return _started(table, locations, form, handler), ""
    except IngestionError as error:
        return None, str(error)


def _started(
    table: Table, locations: list[str], form: LoadForm, handler: StoringHandler
) -> BackfillRun:
    if handler.upload is None:
        return backfill_runs.start(table, locations, _settings(form))
    run = backfill_runs.start_stored(table, handler.upload, _settings(form))
    handler.upload = None  # the run's own from here on
    return run


def _settings(form: LoadForm) -> Settings:
    chosen = form.cleaned_data
    options = ReadOptions(chosen["delimiter"], chosen["encoding"], chosen["null"] or None)
    kind = Format(chosen["format"]) if chosen["format"] else None
    return Settings(kind, options, limit=chosen["quarantine_limit"])
