"""Reads queries sent as HTML forms, and the files in them (external data)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from millrace.embedded.clickhouse.errors import BadRequest

_NAME = re.compile(rb'(?:\A|[;\s])name="([^"]*)"|(?:\A|[;\s])name=([^;\s]+)', re.IGNORECASE)
_FILE = re.compile(rb'filename="([^"]*)"|filename=([^;\s]+)', re.IGNORECASE)
_BOUNDARY = re.compile(r'boundary="?([^";]+)"?', re.IGNORECASE)


@dataclass
class Form:
    """The fields and files of a form, by name."""

    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)


def is_form(content_type: str) -> bool:
    """Whether the body is a multipart form."""
    return content_type.lower().startswith("multipart/form-data")


def looks_like_one(body: bytes) -> bool:
    """Whether a body labelled urlencoded really is: ``curl -d`` labels a plain query so, too."""
    return body.startswith((b"query=", b"param_"))


def urlencoded(body: bytes) -> Form:
    """Read a urlencoded form; bytes that are not UTF-8 become lone surrogates."""
    text = body.decode("utf-8", "surrogateescape")
    return Form(dict(parse_qsl(text, keep_blank_values=True, errors="surrogateescape")))


def multipart(content_type: str, body: bytes) -> Form:
    """Read a multipart form; raises BadRequest."""
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        raise BadRequest(400, "The form has no boundary.")
    form = Form()
    # Each boundary follows a line break, so the first one gets a line break as well.
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary[1].encode("latin-1"))[1:]:
        if part.startswith(b"--"):
            break
        head, separator, value = part.partition(b"\r\n\r\n")
        if not separator:
            raise BadRequest(400, "A part of the form has no head.")
        _add(form, head, value)
    return form


def _add(form: Form, head: bytes, value: bytes) -> None:
    disposition = next(
        (line for line in head.split(b"\r\n") if line.lower().startswith(b"content-disposition")),
        b"",
    )
    name = _NAME.search(disposition)
    if name is None:
        raise BadRequest(400, "A part of the form has no name.")
    text = (name[1] or name[2] or b"").decode("utf-8", "replace")
    if _FILE.search(disposition):
        form.files[text] = value
    else:
        read = value.decode("utf-8", "surrogateescape")
        # Like a server: joins all fields named query, and takes the last of any other name.
        form.fields[text] = form.fields.get(text, "") + read if text == "query" else read
