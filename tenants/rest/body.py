"""Strict reading of requests: the only reader of JSON bodies and of query strings.

It checks a body's size, media type, UTF-8, JSON syntax and depth, and refuses members that are
unknown or repeated. If it ignored them, ``{"to": "start", "confrim": true}`` would do something
other than what the caller asked for. Events are data and have their own readers
(``ingestion.api``).

Every refusal is a Problem. For a body: ``body_too_large``, ``length_required``,
``encoding_unknown``, ``unsupported_media_type``, ``body_unreadable``, ``doubled_member``,
``unknown_member`` and ``parameter_invalid``. For a query string: ``doubled_parameter``,
``unknown_parameter`` and ``parameter_invalid``.
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

#: The most characters of the caller's own text that an error message repeats.
_SHOWN = 60
_MEDIA_TYPE = "application/json"


class BodySerializer(serializers.Serializer[Any]):
    """Describes the members of a body. Unknown members are refused by name, at any depth.

    With ``exact_numbers``, fields receive numbers with a point or an exponent as Decimals.
    Otherwise they receive doubles, or the digits as text when a double can't hold the number.
    """

    exact_numbers = False
    #: What error messages call a field.
    part = "member"

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            refuse_unknown(data, self.fields, self.part)
        return super().to_internal_value(data)


class ArgumentsSerializer(BodySerializer):
    """Describes the parameters of a query string, which is read as strictly as a body."""

    part = "parameter"


def check_length(request: Request, most: int | None = None) -> None:
    """Refuse a body of more than ``most`` bytes, before reading it.

    ``most`` is MILLRACE_MAX_BODY_BYTES by default.

    Also refuses a body that does not declare its length. WSGI can't read such a body, so Django
    would treat it as empty, and a request with ``{"preview": true}`` would really be carried out.
    """
    if "HTTP_TRANSFER_ENCODING" in request.META:
        detail = "The body has no Content-Length. Send it with one, not in chunks."
        raise Problem(411, "length_required", detail)
    length = request.META.get("CONTENT_LENGTH", "")
    limit: int = settings.DATA_UPLOAD_MAX_MEMORY_SIZE if most is None else most
    if length.isdecimal() and int(length) > limit:
        detail = f"The body is larger than {limit} bytes. Split it into smaller requests."
        raise Problem(413, "body_too_large", detail, limit=limit)


def read(kind: type[BodySerializer], request: Request) -> dict[str, Any]:
    """The body's members, validated by ``kind``; an empty body counts as ``{}``. Raises Problem."""
    body = document(request)
    return _validated(kind(data=body if kind.exact_numbers else exact_json.storable(body)))


def read_nothing(request: Request) -> None:
    """Raise Problem if the request has a body other than ``{}``, for endpoints that take none."""
    refuse_unknown(document(request), ())


def document(request: Request) -> dict[str, Any]:
    """The body's JSON object with exact numbers; an empty body is ``{}``. Raises Problem."""
    check_length(request)
    body = request._request.body  # noqa: SLF001 - DRF would keep the last of two equal members
    if not body:
        return {}
    _check_media_type(request)
    try:
        value = exact_json.read(body)
    except exact_json.Doubled as error:
        detail = f"The body has the member {error.name!r} twice. Send it once."
        raise Problem(400, "doubled_member", detail) from None
    except ValueError as error:
        raise Problem(400, "body_unreadable", f"The body is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise Problem(400, "parameter_invalid", "The body must be a JSON object.")
    return value


def _check_media_type(request: Request) -> None:
    encoding = request.META.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if encoding not in ("", "identity"):
        detail = (
            f"This endpoint does not accept the Content-Encoding {encoding[:_SHOWN]!r}. "
            "Send the body uncompressed."
        )
        headers = {"Accept-Encoding": "identity"}
        raise Problem(415, "encoding_unknown", detail, headers=headers)
    media_type = request.META.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if media_type != _MEDIA_TYPE:
        detail = f"Send the body as a JSON object, with Content-Type: {_MEDIA_TYPE}."
        raise Problem(415, "unsupported_media_type", detail)


def read_arguments(kind: type[ArgumentsSerializer], request: Request) -> dict[str, Any]:
    """The query string's parameters, validated by ``kind``. Raises Problem."""
    _refuse_doubled(request)
    # A plain dict, because DRF treats an empty value in a QueryDict as a missing one.
    return _validated(kind(data=request.query_params.dict()))


def check_arguments(request: Request, known: Collection[str]) -> None:
    """Raise Problem for a query-string parameter that is unknown or repeated."""
    if not request.META.get("QUERY_STRING"):
        return
    refuse_unknown(request.query_params, known, "parameter")
    _refuse_doubled(request)


def refuse_unknown(given: Iterable[str], known: Iterable[str], what: str = "member") -> None:
    """Raise Problem for the first name in ``given``, alphabetically, that is not in ``known``."""
    names = list(known)
    for name in sorted(set(given) - set(names)):
        close = difflib.get_close_matches(name[:_SHOWN], names, 1)
        advice = f"Did you mean {close[0]!r}?" if close else f"Use: {', '.join(names)}."
        if not names:
            advice = f"This endpoint takes no {what}s."
        detail = f"Unknown {what} {name[:_SHOWN]!r}. {advice}"
        raise Problem(400, f"unknown_{what}", detail)


def _refuse_doubled(request: Request) -> None:
    for name, values in request.query_params.lists():
        if len(values) > 1:
            detail = f"The query string has the parameter {name[:_SHOWN]!r} twice. Send it once."
            raise Problem(400, "doubled_parameter", detail)


def _validated(serializer: BodySerializer) -> dict[str, Any]:
    if serializer.is_valid():
        return dict(serializer.validated_data)
    field, messages = next(iter(serializer.errors.items()))
    detail = f"{field}: {_first(messages)}"
    raise Problem(400, "parameter_invalid", detail, errors=serializer.errors)


def _first(messages: Any) -> str:
    while isinstance(messages, dict | list):
        messages = next(iter(messages.values() if isinstance(messages, dict) else messages))
    return str(messages)
