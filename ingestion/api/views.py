from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any, BinaryIO, cast

from django.conf import settings
from django.db.models.expressions import RawSQL
from django.http import HttpResponse, JsonResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request

from ingestion.api.body import decoded, too_large
from ingestion.api.lines import SHOWN, events, places
from ingestion.api.serializers import SettledSerializer, TakenSerializer
from ingestion.connectors.http.metadata import kept
from ingestion.landing.lookups import filtered_within
from ingestion.models import Source
from ingestion.quarantine import within
from ingestion.services.events import RECEIPTS_KEPT, Accepted, accept, wait
from tenants.models import Scope
from tenants.plans.admission import OverLimit, take_in
from tenants.rest.authentication import Caller
from tenants.rest.endpoint import Endpoint
from tenants.rest.limited import refused
from tenants.rest.problem import Problem, not_found
from tenants.warehouse.errors import WarehouseError

log = logging.getLogger(__name__)

#: Seconds that ``?wait=true`` waits at most; after that the answer is 202.
WAIT = 10.0
KEY_LENGTH = 200
#: The headers that the table's columns read, in the query for the source that each request makes
#: anyway. SQL, because building the same subquery by the ORM took as long as half the query.
_HEADERS = (
    "ARRAY(SELECT c.metadata FROM ingestion_column c WHERE c.table_id = ingestion_source.table_id "
    "AND starts_with(c.metadata, 'header:'))"
)
_TRUE, _FALSE = {"true", "1", "yes", ""}, {"false", "0", "no"}


class EventsView(Endpoint):
    """``POST /api/v1/events/<source>``: accept events for a source of the caller's tenant.

    202: the events are stored durably and will soon be in the table. 200 (``?wait=true``): each
    event is in the table or in quarantine, and the answer gives both counts and the reasons.
    A paused source accepts events too, and lands them when it is resumed.
    """

    scope = Scope.EVENTS_WRITE
    arguments = ("wait",)

    @extend_schema(
        operation_id="send_events",
        summary="Send events",
        description=(
            "The body is NDJSON (one object per line), a JSON array of objects, or one object; "
            "uncompressed, or compressed with gzip or zstd (Content-Encoding). Either all events "
            "are accepted or none."
        ),
        request={"application/x-ndjson": OpenApiTypes.STR, "application/json": OpenApiTypes.OBJECT},
        parameters=[
            OpenApiParameter(
                "wait",
                OpenApiTypes.BOOL,
                description="Wait until all events have landed or are in quarantine, up to 10 s.",
            ),
            OpenApiParameter(
                "Idempotency-Key",
                OpenApiTypes.STR,
                OpenApiParameter.HEADER,
                description="A request repeated with the same key within a day is accepted once.",
            ),
        ],
        responses={
            200: OpenApiResponse(
                SettledSerializer, "Each event is in the table, or in quarantine with a reason."
            ),
            202: OpenApiResponse(TakenSerializer, "The events are stored durably."),
            (400, "application/problem+json"): OpenApiResponse(
                OpenApiTypes.OBJECT, "Some lines are not JSON objects; `errors` has their numbers."
            ),
            (409, "application/problem+json"): OpenApiResponse(
                OpenApiTypes.OBJECT,
                "The source reads from a broker, so send the events there; or it is archived.",
            ),
            (413, "application/problem+json"): OpenApiResponse(
                OpenApiTypes.OBJECT, "The body is too large."
            ),
            (422, "application/problem+json"): OpenApiResponse(
                OpenApiTypes.OBJECT, "The Idempotency-Key was used for other events."
            ),
            (429, "application/problem+json"): OpenApiResponse(
                OpenApiTypes.OBJECT,
                "Too many events are waiting, or a limit of the tenant's plan is reached; see "
                "Retry-After.",
            ),
        },
    )
    def post(self, request: Request, name: str) -> HttpResponse:
        """Accept the events in the body."""
        source = _source(self.caller(request), name)
        should_wait = _flag(request.query_params.get("wait", "false"))
        key = _idempotency_key(request.META.get("HTTP_IDEMPOTENCY_KEY", ""))
        body = _body(request)
        lines = events(body)
        accepted = self._take(source, lines, key, _headers(source, request))
        taken = {
            "accepted": accepted.count,
            "first_offset": accepted.first_offset,
            "last_offset": accepted.last_offset,
            "queryable": False,
        }
        # A paused source lands nothing, so there is nothing to wait for.
        settled = _settled(source, accepted, body) if should_wait and source.active else None
        return JsonResponse(
            taken | (settled or {}),
            status=202 if settled is None else 200,
            headers={"Idempotent-Replayed": "true"} if accepted.replayed else {},
        )

    def _take(self, source: Source, lines: list[bytes], key: str, headers: str) -> Accepted:
        """Accept the events; they count towards the tenant's daily limit only if accepted."""
        size = sum(map(len, lines)) + max(0, len(lines) - 1)
        try:
            counted = take_in(self.allowance, len(lines), size)
        except OverLimit as error:
            raise refused(error) from None
        try:
            accepted = accept(source, lines, key, headers)
        except BaseException:
            counted.give_back()
            raise
        if accepted.replayed:
            counted.give_back()
        else:
            self.did = (0, 0, 0, accepted.count, size)
        return accepted


def _settled(source: Source, accepted: Accepted, body: bytes) -> dict[str, Any] | None:
    """How many landed, were filtered, and did not fit; None if that is not known in time."""
    if not wait(accepted, WAIT):
        return None
    try:
        refused_ = within(source, 0, accepted.offsets, RECEIPTS_KEPT * 2, SHOWN)
        left_out = filtered_within(source.table, source.pk, accepted.offsets)
    except WarehouseError as error:
        log.warning("Quarantine of %s: %s", source, error)
        return None
    stands = places(body, accepted.count) if refused_.first else ()
    return {
        "queryable": not (refused_.messages or left_out),
        "landed": accepted.count - refused_.messages - left_out,
        "quarantined": refused_.messages,
        "filtered": left_out,
        "quarantine": [
            {"line": stands[one.offset - accepted.first_offset], **asdict(one)}
            for one in refused_.first
        ],
    }


def _headers(source: Any, request: Request) -> str:
    """The headers of the request that columns of the table read, as JSON; '' for none."""
    return kept(request.headers, source.metadata)


def _source(caller: Caller, name: str) -> Source:
    """An HTTP source that the caller may use; raises Problem 404 or 409.

    The same 404 for a source that the caller may not use does not reveal whether it exists.
    """
    rows = Source.objects.filter(tenant=caller.tenant_id, name=name).select_related("connection")
    rows = rows.annotate(metadata=RawSQL(_HEADERS, ()))  # noqa: S611 - a constant
    source = rows.first() if caller.may_use(name) else None
    if source is None:
        raise not_found(f"There is no source {name!r}.")
    if source.kind != "http":
        raise Problem(
            409,
            "source_has_broker",
            f"The source {name!r} reads {source.stream!r} from {source.kind}. Send the events "
            "there, or create a source without a connection.",
        )
    if source.is_archived:
        detail = f"The source {name!r} is archived and accepts no events. Restore it first."
        raise Problem(409, "source_archived", detail)
    return source


def _idempotency_key(text: str) -> str:
    """The key without the quotes of a structured field, which are optional; '' for no header.

    See draft-ietf-httpapi-idempotency-key-header. Raises Problem 400.
    """
    key = text.strip()
    if len(key) > 1 and key.startswith('"') and key.endswith('"'):
        key = key[1:-1]
    if len(key) > KEY_LENGTH or not (key.isascii() and key.isprintable()) or (text and not key):
        detail = f"An Idempotency-Key must be 1 to {KEY_LENGTH} printable ASCII characters."
        raise Problem(400, "idempotency_key_invalid", detail)
    return key


def _flag(text: str) -> bool:
    value = text.lower()
    if value in _TRUE | _FALSE:
        return value in _TRUE
    raise Problem(400, "parameter_invalid", f"wait is {text!r}. Send wait=true or wait=false.")


def _body(request: Request) -> bytes:
    limit: int = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    length = request.META.get("CONTENT_LENGTH") or "0"
    if length.isdigit() and int(length) > limit:
        raise too_large(limit)
    stream = cast("BinaryIO", request._request)  # noqa: SLF001 - DRF would parse the body
    return decoded(stream, request.META.get("HTTP_CONTENT_ENCODING", ""), limit)
