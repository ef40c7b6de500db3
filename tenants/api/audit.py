"""``GET /api/v1/audit``: the audit log of the caller's tenant."""

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
        required=False, min_value=1, max_value=2**63 - 1, help_text="Only entries before this id."
    )
    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False)
    action = serializers.CharField(
        required=False, max_length=60, help_text="For example key.revoke."
    )
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
        allow_null=True, help_text="Pass it as `before` to get the next page; null on the last."
    )


class AuditView(Endpoint):
    """The audit log of the caller's tenant, newest first."""

    scope = Scope.MANAGE
    arguments = None  # AuditQuerySerializer checks them

    @extend_schema(
        operation_id="list_audit",
        summary="List audit log entries, newest first",
        parameters=[AuditQuerySerializer],
        responses={
            200: AuditPageSerializer,
            (400, CONTENT_TYPE): OpenApiResponse(OpenApiTypes.OBJECT, "A parameter is not valid."),
            (401, CONTENT_TYPE): OpenApiResponse(OpenApiTypes.OBJECT, "The key is not valid."),
            (403, CONTENT_TYPE): OpenApiResponse(
                OpenApiTypes.OBJECT, "The tenant is suspended, or the key has no scope `manage`."
            ),
        },
    )
    def get(self, request: Request) -> HttpResponse:
        """Return one page."""
        arguments = read_arguments(AuditQuerySerializer, request)
        tenant_id, limit = self.caller(request).tenant_id, arguments["limit"]
        rows = AuditEntry.objects.filter(tenant=tenant_id, **_filters(arguments))
        # One entry more than the page shows whether there is a next page.
        entries = list(rows.order_by("-pk")[: limit + 1])
        page = entries[:limit]
        last = page[-1].pk if len(entries) > len(page) else None
        return JsonResponse({"entries": [as_dict(entry) for entry in page], "next_before": last})


def _filters(arguments: dict[str, Any]) -> dict[str, Any]:
    names = {"before": "pk__lt", "since": "at__gte", "until": "at__lt", "action": "action"}
    return {names[key]: value for key, value in arguments.items() if key in names}
