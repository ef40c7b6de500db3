"""``POST /api/v1/infer``: propose a table from a sample. It saves nothing."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from django.http import HttpResponse, JsonResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request

from ingestion.api.inference_serializers import InferRequestSerializer, ProposalSerializer
from ingestion.api.removal import later, own
from ingestion.api.sources import PROBLEM, PROBLEMS, own_source, without_row_filters
from ingestion.backfill.errors import BackfillError
from ingestion.ddl import SpecError
from ingestion.errors import CannotPeek, ConnectorError
from ingestion.inference.errors import NothingToInfer
from ingestion.inference.file_sample import of_stream
from ingestion.inference.proposal import LeftOut, Proposal, ProposedColumn, propose
from ingestion.inference.sample import Sample
from ingestion.inference.stream_sample import NothingArrived, of_source, of_stream_on
from ingestion.models import Connection, UnknownFieldRule
from tenants.models import Scope
from tenants.rest.authentication import Caller
from tenants.rest.body import read
from tenants.rest.endpoint import Endpoint
from tenants.rest.problem import Problem
from tenants.warehouse.errors import WarehouseError

log = logging.getLogger(__name__)


class InferView(Endpoint):
    """Proposes the columns and keys of a table that all sampled objects fit."""

    scope = Scope.MANAGE

    @extend_schema(
        operation_id="infer_table",
        summary="Propose a table from messages, a source's stream, or a topic or queue",
        request=InferRequestSerializer,
        responses={
            200: ProposalSerializer,
            **PROBLEMS,
            (409, PROBLEM): OpenApiResponse(
                OpenApiTypes.OBJECT, "The stream can't be read, or has no message now."
            ),
            (422, PROBLEM): OpenApiResponse(
                OpenApiTypes.OBJECT, "The sample has no field that a column could read."
            ),
            (503, PROBLEM): OpenApiResponse(
                OpenApiTypes.OBJECT, "ClickHouse does not answer; see Retry-After."
            ),
        },
    )
    def post(self, request: Request) -> HttpResponse:
        """Read the sample, and answer with the proposal."""
        caller, body = self.caller(request), read(InferRequestSerializer, request)
        with _translated(), _sample(caller, body) as sample:
            proposal = propose(sample)
        return JsonResponse(ProposalSerializer(_described(proposal)).data)


@contextmanager
def _sample(caller: Caller, body: dict[str, Any]) -> Iterator[Sample]:
    if body["sample"]:
        with of_stream(io.BytesIO(body["sample"].encode())) as sample:
            yield sample
        return
    # A row filter can't be applied to messages of a stream.
    if body["source"]:
        source = own_source(caller, body["source"])
        without_row_filters(caller)
        yield of_source(source)
        return
    connection = own(Connection, caller, body["connection"])
    without_row_filters(caller)
    yield of_stream_on(connection, body["stream"], connection.tenant)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (NothingToInfer, BackfillError) as error:
        raise Problem(422, "nothing_to_infer", str(error)) from error
    except (NothingArrived, CannotPeek) as error:
        raise Problem(409, "stream_unreadable", str(error)) from error
    except ConnectorError as error:
        # What a broker says may name hosts of a shared connection.
        log.warning("Inference: %s", error)
        detail = "The stream can't be read. Test its connection, and check the name."
        raise Problem(409, "stream_unreadable", detail) from error
    except (SpecError, WarehouseError) as error:
        log.warning("Inference: %s", error)
        detail = "ClickHouse does not answer. It is safe to repeat this request."
        raise later("unavailable", detail) from error


def _described(proposal: Proposal) -> dict[str, Any]:
    return {
        "columns": [_column(column) for column in proposal.columns],
        "sorting_key": proposal.sorting_key,
        "partition_key": proposal.partition_key,
        "unknown_fields": UnknownFieldRule.COUNT.value,
        "left_out": [_left_out(one) for one in proposal.left_out],
        "messages": proposal.messages,
        "objects": proposal.objects,
        "others": proposal.others,
    }


def _column(column: ProposedColumn) -> dict[str, Any]:
    spec = column.spec
    return {
        "name": spec.name,
        "type": spec.type,
        "path": spec.path,
        "required": spec.required,
        "default": spec.default,
        "quoted_numbers": spec.quoted_numbers,
        "format": spec.format,
        "evidence": asdict(column.evidence),
        "note": column.note,
    }


def _left_out(one: LeftOut) -> dict[str, Any]:
    return {"path": one.path, "why": one.why, "evidence": asdict(one.evidence)}
