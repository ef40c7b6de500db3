"""Endpoints to create, limit, suspend, resume, export, erase from and delete tenants."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.http import HttpResponse, JsonResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request

from tenants.api.operator.operator_endpoint import OperatorEndpoint
from tenants.api.operator.serializers import (
    DeletionSerializer,
    ErasureRequestSerializer,
    ErasureSerializer,
    ExportsSerializer,
    LimitSerializer,
    MakeSerializer,
    QueuedSerializer,
    TenantSerializer,
    TenantsSerializer,
)
from tenants.errors import LifecycleError, StillBusy, TenantNotConfirmed
from tenants.lifecycle.delete import delete, preview
from tenants.lifecycle.erase import erase
from tenants.lifecycle.tenant_export import exports_of
from tenants.models import Tenant
from tenants.rest.body import read, read_nothing
from tenants.rest.problem import CONTENT_TYPE, Problem, not_found
from tenants.services import tenants
from tenants.task_queue import send
from tenants.warehouse.errors import WarehouseError

log = logging.getLogger(__name__)


def _problems(*statuses: int) -> dict[tuple[int, str], OpenApiResponse]:
    descriptions = {
        400: "The body or a parameter is not valid.",
        401: "The operator's key is missing or not valid.",
        404: "No tenant has this slug.",
        409: "This can't be done for this tenant, or `confirm` is wrong; see `detail`.",
        503: "A database or cache does not answer, or workers still work on the tenant; see "
        "Retry-After. Repeating the call is safe.",
    }
    return {
        (status, CONTENT_TYPE): OpenApiResponse(OpenApiTypes.OBJECT, descriptions[status])
        for status in (401, *statuses)
    }


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except TenantNotConfirmed as error:
        raise Problem(409, "not_confirmed", str(error)) from error
    except StillBusy as error:
        raise Problem(503, "busy", str(error), headers={"Retry-After": "30"}) from error
    except LifecycleError as error:
        raise Problem(409, "refused", str(error)) from error
    except WarehouseError as error:
        log.warning("Operators' API: %s", error)
        detail = "ClickHouse does not answer or refused a statement. Repeating the call is safe."
        raise Problem(503, "unavailable", detail, headers={"Retry-After": "5"}) from error


def _tenant(slug: str) -> Tenant:
    tenant = Tenant.objects.filter(slug=slug).first()
    if tenant is None:
        raise not_found("No tenant has this slug. GET /api/v1/tenants lists all tenants.")
    return tenant


def _answer(tenant: Tenant, status_code: int = 200) -> HttpResponse:
    return JsonResponse(TenantSerializer(tenant).data, status=status_code)


class TenantsView(OperatorEndpoint):
    @extend_schema(
        operation_id="list_tenants",
        summary="List all tenants",
        responses={200: TenantsSerializer, **_problems()},
    )
    def get(self, request: Request) -> HttpResponse:
        return JsonResponse(TenantsSerializer({"tenants": Tenant.objects.all()}).data)

    @extend_schema(
        operation_id="make_tenant",
        summary="Create a tenant; its warehouse follows within seconds",
        request=MakeSerializer,
        responses={201: TenantSerializer, **_problems(400, 409)},
    )
    def post(self, request: Request) -> HttpResponse:
        body = read(MakeSerializer, request)
        with _translated():
            tenant = tenants.make(body["slug"], body["name"], weight=body["weight"])
        return _answer(tenant, 201)


class TenantView(OperatorEndpoint):
    arguments = ("confirm",)

    @extend_schema(
        operation_id="get_tenant",
        summary="Show a tenant's status, weight and plan",
        responses={200: TenantSerializer, **_problems(404)},
    )
    def get(self, request: Request, slug: str) -> HttpResponse:
        return _answer(_tenant(slug))

    @extend_schema(
        operation_id="limit_tenant",
        summary="Change a tenant's plan, weight or name",
        request=LimitSerializer,
        responses={200: TenantSerializer, **_problems(400, 404, 409)},
    )
    def patch(self, request: Request, slug: str) -> HttpResponse:
        tenant, body = _tenant(slug), read(LimitSerializer, request)
        with _translated():
            return _answer(tenants.limit(tenant, **body))

    @extend_schema(
        operation_id="delete_tenant",
        summary="Permanently delete a tenant and all its data in every store",
        description="Repeating it is safe. `GET …/deletion` shows what would be deleted.",
        parameters=[
            OpenApiParameter(
                "confirm", OpenApiTypes.STR, required=True, description="The tenant's slug, again."
            )
        ],
        responses={200: DeletionSerializer, **_problems(400, 404, 409, 503)},
    )
    def delete(self, request: Request, slug: str) -> HttpResponse:
        read_nothing(request)
        _tenant(slug)
        with _translated():
            report = delete(slug, request.query_params.get("confirm", ""))
        return JsonResponse(DeletionSerializer(report).data)


class DeletionView(OperatorEndpoint):
    @extend_schema(
        operation_id="preview_deletion",
        summary="Show what deleting a tenant would remove",
        responses={200: DeletionSerializer, **_problems(404, 503)},
    )
    def get(self, request: Request, slug: str) -> HttpResponse:
        _tenant(slug)
        with _translated():
            report = preview(slug)
        return JsonResponse(DeletionSerializer(report).data | {"deleted": False})


class SuspendView(OperatorEndpoint):
    @extend_schema(
        operation_id="suspend_tenant",
        summary="Suspend a tenant: ingestion pauses, API calls get a 403, data stays",
        request=None,
        responses={200: TenantSerializer, **_problems(404, 409)},
    )
    def post(self, request: Request, slug: str) -> HttpResponse:
        read_nothing(request)
        tenant = _tenant(slug)
        with _translated():
            tenants.suspend(tenant)
        return _answer(tenant)


class ResumeTenantView(OperatorEndpoint):
    @extend_schema(
        operation_id="resume_tenant",
        summary="Resume a suspended tenant",
        request=None,
        responses={200: TenantSerializer, **_problems(404, 409)},
    )
    def post(self, request: Request, slug: str) -> HttpResponse:
        read_nothing(request)
        tenant = _tenant(slug)
        with _translated():
            tenants.resume(tenant)
        return _answer(tenant)


class ExportsView(OperatorEndpoint):
    @extend_schema(
        operation_id="list_exports",
        summary="List a tenant's finished exports, as folders on the workers' disk",
        responses={200: ExportsSerializer, **_problems(404)},
    )
    def get(self, request: Request, slug: str) -> HttpResponse:
        exports = [{"folder": folder} for folder in exports_of(_tenant(slug).slug)]
        return JsonResponse(ExportsSerializer({"exports": exports}).data)

    @extend_schema(
        operation_id="export_tenant",
        summary="Export all of a tenant's data on a worker",
        request=None,
        responses={202: QueuedSerializer, **_problems(404)},
    )
    def post(self, request: Request, slug: str) -> HttpResponse:
        read_nothing(request)
        send("tenants.tasks.export_tenant", _tenant(slug).pk)
        return JsonResponse({"queued": True}, status=202)


class EraseView(OperatorEndpoint):
    @extend_schema(
        operation_id="erase_person",
        summary="Erase one person's rows by the value of a column; a preview by default",
        request=ErasureRequestSerializer,
        responses={200: ErasureSerializer, **_problems(400, 404, 409, 503)},
    )
    def post(self, request: Request, slug: str) -> HttpResponse:
        tenant, body = _tenant(slug), read(ErasureRequestSerializer, request)
        with _translated():
            report = erase(
                tenant,
                body["column"],
                body["value"],
                table=body["table"],
                preview=body["preview"],
            )
        return JsonResponse(ErasureSerializer(report).data)
