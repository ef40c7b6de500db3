"""Queries sent as HTML forms, and the tables that come along as files (external data)."""

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
    """The fields of a form, and its files by their names."""

    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)


def is_form(content_type: str) -> bool:
    """Whether the body is a multipart form."""
    return content_type.lower().startswith("multipart/form-data")


def looks_like_one(body: bytes) -> bool:
    """Whether a body called urlencoded is so: curl -d calls a bare query by that name too."""
    return body.startswith((b"query=", b"param_"))


def urlencoded(body: bytes) -> Form:
    """Read a urlencoded form."""
    return Form(dict(parse_qsl(body.decode("utf-8", "surrogateescape"), keep_blank_values=True)))


def multipart(content_type: str, body: bytes) -> Form:
    """Read a multipart form; raises BadRequest."""
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise BadRequest(400, "The form has no boundary.")
    form = Form()
    # A boundary starts a line, so the one before the first part is given a line to start.
    for part in (b"\r\n" + body).split(b"\r\n--" + found[1].encode("latin-1"))[1:]:
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
        # A server joins the parts of a statement, and of all else takes one.
        form.fields[text] = form.fields.get(text, "") + read if text == "query" else read
