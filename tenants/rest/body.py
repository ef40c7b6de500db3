"""What a caller sends, read strictly: what nobody knows, or stands there twice, is refused.

Were it ignored, ``{"to": "start", "preveiw": true}`` would do what was only to be previewed.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request

from tenants import exact_json
from tenants.rest.problem import Problem

#: Characters of a sender's own words that an answer repeats.
_SHOWN = 60


def read(kind: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    """The body as ``kind`` describes it, an empty one as ``{}``; raises Problem."""
    given = _document(request)
    if not isinstance(given, dict):
        raise Problem(400, "parameter_invalid", "The body must be a JSON object.")
    serializer = kind(data=given)
    refuse_unknown(given, serializer.fields)
    if serializer.is_valid():
        return dict(serializer.validated_data)
    field, words = next(iter(serializer.errors.items()))
    detail = f"{field}: {_first(words)}"
    raise Problem(400, "parameter_invalid", detail, errors=serializer.errors)


def read_nothing(request: Request) -> None:
    """Refuse a body where none is taken, but for ``{}``; raises Problem."""
    given = _document(request)
    if isinstance(given, dict):
        refuse_unknown(given, ())
    else:
        raise Problem(400, "parameter_invalid", "This address takes no body.")


def check_arguments(request: Request, known: Collection[str]) -> None:
    """The same of the query string: raise Problem for a parameter unknown or given twice."""
    if not request.META.get("QUERY_STRING"):
        return
    given = request.query_params
    refuse_unknown(given, known, "parameter")
    for name, values in given.lists():
        if len(values) > 1:
            detail = f"The parameter {name!r} stands there twice. Send it once."
            raise Problem(400, "doubled_parameter", detail)


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


def document(request: Request) -> Any:
    """The body's JSON, an empty one as ``{}``, with all digits of its numbers; raises Problem."""
    body = request._request.body  # noqa: SLF001 - DRF would take the last of two members
    try:
        return exact_json.read(body or b"{}")
    except exact_json.Doubled as error:
        detail = f"The member {error.name!r} stands there twice. Send it once."
        raise Problem(400, "doubled_member", detail) from None
    except ValueError as error:
        raise Problem(400, "body_unreadable", f"The body is not JSON: {error}.") from None


def _document(request: Request) -> Any:
    return exact_json.storable(document(request))


def _first(words: Any) -> str:
    while isinstance(words, dict | list):
        words = next(iter(words.values() if isinstance(words, dict) else words))
    return str(words)
