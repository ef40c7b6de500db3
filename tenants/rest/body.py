"""What a caller sends, read strictly: the one reader of JSON bodies and of query strings.

A body is held to its size, its media type, UTF-8, JSON, a depth, and to members that are known and
stand there once. Were others ignored, ``{"to": "start", "confrim": true}`` would do something else
than what was asked for. Events are data, and have readers of their own (``ingestion.api``).

All refusals are Problems: ``body_too_large``, ``length_required``, ``encoding_unknown``,
``unsupported_media_type``, ``body_unreadable``, ``doubled_member``, ``unknown_member`` and
``parameter_invalid``; of a query string ``doubled_parameter``, ``unknown_parameter`` and
``parameter_invalid``.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from django.conf import settings
from rest_framework import serializers
from rest_framework.request import Request

from tenants import exact_json
from tenants.rest.problem import Problem

#: Characters of a sender's own words that an answer repeats.
_SHOWN = 60
_MEDIA_TYPE = "application/json"


class BodySerializer(serializers.Serializer[Any]):
    """The members of a body. One that it does not know is refused by name, wherever it stands.

    ``exact_numbers``: fields get numbers with a point or an exponent as Decimals. Otherwise they
    get doubles, and the digits as a text where a double can't hold them.
    """

    exact_numbers = False
    #: What a caller knows its parts as.
    part = "member"

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            refuse_unknown(data, self.fields, self.part)
        return super().to_internal_value(data)


class ArgumentsSerializer(BodySerializer):
    """The parameters of a query string, read as strictly as a body."""

    part = "parameter"


def check_length(request: Request) -> None:
    """Refuse a body of more bytes than MILLRACE_MAX_BODY_BYTES before it is read.

    One that does not say its length is refused too: WSGI has no way to it, so Django would take it
    for an empty one, and ``{"preview": true}`` would be done.
    """
    length = request.META.get("CONTENT_LENGTH")
    if not length:
        if "HTTP_TRANSFER_ENCODING" in request.META:
            detail = "Send the body with Content-Length, and not in chunks."
            raise Problem(411, "length_required", detail)
        return
    limit: int = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    if length.isdecimal() and int(length) > limit:
        detail = f"The body is larger than {limit} bytes. Send less at once."
        raise Problem(413, "body_too_large", detail, limit=limit)


def read(kind: type[BodySerializer], request: Request) -> dict[str, Any]:
    """The body as ``kind`` describes it, an empty one as ``{}``; raises Problem."""
    body = document(request)
    return _validated(kind(data=body if kind.exact_numbers else exact_json.storable(body)))


def read_nothing(request: Request) -> None:
    """Refuse a body where none is taken, but for ``{}``; raises Problem."""
    refuse_unknown(document(request), ())


def document(request: Request) -> dict[str, Any]:
    """The body's JSON object, an empty body as ``{}``, numbers with all digits; raises Problem."""
    check_length(request)
    body = request._request.body  # noqa: SLF001 - DRF would take the last of two members
    if not body:
        return {}
    _check_media_type(request)
    try:
        found = exact_json.read(body)
    except exact_json.Doubled as error:
        detail = f"The member {error.name!r} stands there twice. Send it once."
        raise Problem(400, "doubled_member", detail) from None
    except ValueError as error:
        raise Problem(400, "body_unreadable", f"The body is not JSON: {error}.") from None
    if not isinstance(found, dict):
        raise Problem(400, "parameter_invalid", "The body must be a JSON object.")
    return found


def _check_media_type(request: Request) -> None:
    encoding = request.META.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if encoding not in ("", "identity"):
        detail = f"This address takes no body in {encoding[:_SHOWN]!r}. Send it plain."
        headers = {"Accept-Encoding": "identity"}
        raise Problem(415, "encoding_unknown", detail, headers=headers)
    media_type = request.META.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if media_type != _MEDIA_TYPE:
        detail = f"Send the body as a JSON object, with Content-Type: {_MEDIA_TYPE}."
        raise Problem(415, "unsupported_media_type", detail)


def read_arguments(kind: type[ArgumentsSerializer], request: Request) -> dict[str, Any]:
    """The query string as ``kind`` describes it; raises Problem."""
    _refuse_doubled(request)
    # As a plain mapping: of a QueryDict DRF takes an empty text for none.
    return _validated(kind(data=request.query_params.dict()))


def check_arguments(request: Request, known: Collection[str]) -> None:
    """Raise Problem for a parameter of the query string that is unknown, or given twice."""
    if not request.META.get("QUERY_STRING"):
        return
    refuse_unknown(request.query_params, known, "parameter")
    _refuse_doubled(request)


def refuse_unknown(given: Iterable[str], known: Iterable[str], what: str = "member") -> None:
    """Raise Problem that names the first of ``given`` that is not ``known``."""
    names = list(known)
    for name in sorted(set(given) - set(names)):
        close = difflib.get_close_matches(name[:_SHOWN], names, 1)
        right = f"Did you mean {close[0]!r}?" if close else f"These are: {', '.join(names)}."
        if not names:
            right = f"This address takes no {what}s."
        detail = f"There is no {what} {name[:_SHOWN]!r}. {right}"
        raise Problem(400, f"unknown_{what}", detail)


def _refuse_doubled(request: Request) -> None:
    for name, values in request.query_params.lists():
        if len(values) > 1:
            detail = f"The parameter {name[:_SHOWN]!r} stands there twice. Send it once."
            raise Problem(400, "doubled_parameter", detail)


def _validated(serializer: BodySerializer) -> dict[str, Any]:
    if serializer.is_valid():
        return dict(serializer.validated_data)
    field, words = next(iter(serializer.errors.items()))
    detail = f"{field}: {_first(words)}"
    raise Problem(400, "parameter_invalid", detail, errors=serializer.errors)


def _first(words: Any) -> str:
    while isinstance(words, dict | list):
        words = next(iter(words.values() if isinstance(words, dict) else words))
    return str(words)
