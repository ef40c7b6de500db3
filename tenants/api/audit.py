"""``GET /api/v1/audit``: who did what within the caller's tenant."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse, JsonResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from tenants.audit.entry_formats import as_dict
from tenants.models import AuditEntry, Scope
from tenants.rest.body import ArgumentsSerializer, read_arguments
from tenants.rest.endpoint import Endpoint
from tenants.rest.problem import CONTENT_TYPE

_MOST = 1_000


class AuditQuerySerializer(ArgumentsSerializer):
    before = serializers.IntegerField(
        required=False, min_value=1, max_value=2**63 - 1, help_text="Only older ones than this id."
    )
    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False)
    action = serializers.CharField(required=False, max_length=60, help_text="Such as key.revoke.")
    limit = serializers.IntegerField(default=100, min_value=1, max_value=_MOST)


class AuditEntrySerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    at = serializers.DateTimeField()
    tenant = serializers.CharField()
    actor_kind = serializers.ChoiceField(["user", "key", "command", "system"])
    actor_id = serializers.CharField(allow_blank=True)
    actor = serializers.CharField()
    address = serializers.CharField(allow_null=True, help_text="Where the request came from.")
    action = serializers.CharField()
    object_type = serializers.CharField(allow_blank=True)
    object_id = serializers.CharField(allow_blank=True)
    object = serializers.CharField(allow_blank=True)
    detail = serializers.DictField()


class AuditPageSerializer(serializers.Serializer[Any]):
    entries = AuditEntrySerializer(many=True)
    next_before = serializers.IntegerField(
        allow_null=True, help_text="Give it as `before` for the next page; null: there is none."
    )


class AuditView(Endpoint):
    """The audit log of the caller's tenant, newest first."""

    scope = Scope.MANAGE
    arguments = None  # AuditQuerySerializer has them

    @extend_schema(
        operation_id="list_audit",
        summary="List who did what, newest first",
        parameters=[AuditQuerySerializer],
        responses={
            200: AuditPageSerializer,
            (400, CONTENT_TYPE): OpenApiResponse(OpenApiTypes.OBJECT, "A parameter is not valid."),
            (401, CONTENT_TYPE): OpenApiResponse(OpenApiTypes.OBJECT, "The key is not valid."),
            (403, CONTENT_TYPE): OpenApiResponse(
                OpenApiTypes.OBJECT, "The tenant is suspended, or the key lacks `manage`."
            ),
        },
    )
    def get(self, request: Request) -> HttpResponse:
        """Give a page of it."""
        asked = read_arguments(AuditQuerySerializer, request)
        rows = AuditEntry.objects.filter(tenant=self.caller(request).tenant_id, **_filters(asked))
        found = list(rows.order_by("-pk")[: asked["limit"] + 1])
        page = found[: asked["limit"]]
        last = page[-1].pk if len(found) > len(page) else None
        return JsonResponse({"entries": [as_dict(one) for one in page], "next_before": last})


def _filters(asked: dict[str, Any]) -> dict[str, Any]:
    names = {"before": "pk__lt", "since": "at__gte", "until": "at__lt", "action": "action"}
    return {names[key]: value for key, value in asked.items() if key in names}
