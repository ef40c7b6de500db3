"""``/api/v1/plan`` and ``/api/v1/usage``: what the caller's tenant may use, and what it used."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.http import HttpResponse, JsonResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from tenants.models import LIMITS, IngestionHold, Scope, Warehouse
from tenants.plans.allowance import look_up
from tenants.rest.body import ArgumentsSerializer, read_arguments
from tenants.rest.endpoint import Endpoint
from tenants.rest.problem import CONTENT_TYPE, Problem
from tenants.selectors import usage

#: The most days in one response.
_MOST_DAYS = 400
_PROBLEMS = {
    (status, CONTENT_TYPE): OpenApiResponse(OpenApiTypes.OBJECT, description)
    for status, description in {
        401: "The key is not valid.",
        403: "The tenant is suspended, or the key has no scope `manage`.",
        429: "A limit of the tenant's plan is reached.",
    }.items()
}


class LimitsSerializer(serializers.Serializer[Any]):
    def get_fields(self) -> dict[str, Any]:
        return {name: serializers.IntegerField(allow_null=True) for name in LIMITS}


class FiguresSerializer(serializers.Serializer[Any]):
    def get_fields(self) -> dict[str, Any]:
        return {name: serializers.IntegerField() for name in usage.FIELDS}


class HoldSerializer(serializers.Serializer[Any]):
    limit = serializers.CharField()
    value = serializers.IntegerField()
    reason = serializers.CharField()
    since = serializers.DateTimeField()
    until = serializers.DateTimeField(allow_null=True)


class PlanSerializer(serializers.Serializer[Any]):
    plan = serializers.CharField(allow_null=True, help_text="null: the tenant has no plan.")
    limits = LimitsSerializer(help_text="null: unlimited.")
    today = FiguresSerializer(help_text="Usage since midnight UTC.")
    storage_bytes = serializers.IntegerField(help_text="The storage in use, as last measured.")
    hold = HoldSerializer(
        allow_null=True, help_text="Why events from brokers wait; null: they are not held."
    )


class UsageLineSerializer(FiguresSerializer):
    def get_fields(self) -> dict[str, Any]:
        return {
            "day": serializers.DateField(),
            "key": serializers.CharField(
                allow_null=True, help_text="The first characters of the key."
            ),
            "key_name": serializers.CharField(allow_blank=True),
            **super().get_fields(),
        }


class UsageSerializer(serializers.Serializer[Any]):
    def get_fields(self) -> dict[str, Any]:
        return {
            "from": serializers.DateField(),
            "to": serializers.DateField(),
            "total": FiguresSerializer(),
            "days": UsageLineSerializer(many=True),
        }


class UsageQuerySerializer(ArgumentsSerializer):
    def get_fields(self) -> dict[str, Any]:
        return {
            "from": serializers.DateField(required=False, help_text="The first day (UTC)."),
            "to": serializers.DateField(required=False, help_text="The last day; default: today."),
            "format": serializers.ChoiceField(["json", "csv"], default="json"),
        }


class PlanView(Endpoint):
    """The plan of the caller's tenant."""

    scope = Scope.MANAGE

    @extend_schema(
        operation_id="get_plan",
        summary="Show the tenant's plan, its limits and today's usage",
        responses={200: PlanSerializer, **_PROBLEMS},
    )
    def get(self, request: Request) -> HttpResponse:
        """Return the plan."""
        tenant_id, now = self.caller(request).tenant_id, timezone.now()
        granted = look_up(tenant_id, now)
        today = usage.lines(granted.day, granted.day, tenant_id)
        warehouse = Warehouse.objects.filter(tenant=tenant_id).first()
        hold = IngestionHold.objects.filter(tenant=tenant_id).first()
        return JsonResponse(
            {
                "plan": granted.plan or None,
                "limits": asdict(granted.limits),
                "today": asdict(usage.total(line.figures for line in today)),
                "storage_bytes": warehouse.storage_bytes if warehouse else 0,
                "hold": None if hold is None else HoldSerializer(hold).data,
            }
        )


class UsageView(Endpoint):
    """The usage of the caller's tenant."""

    scope = Scope.MANAGE
    arguments = None  # UsageQuerySerializer checks them

    @extend_schema(
        operation_id="list_usage",
        summary="List the tenant's usage by day and key",
        parameters=[UsageQuerySerializer],
        responses={
            200: UsageSerializer,
            (200, "text/csv"): OpenApiTypes.STR,
            (400, CONTENT_TYPE): OpenApiResponse(OpenApiTypes.OBJECT, "A parameter is not valid."),
            (422, CONTENT_TYPE): OpenApiResponse(
                OpenApiTypes.OBJECT,
                f"`from` is after `to`, or the range has more than {_MOST_DAYS} days.",
            ),
            **_PROBLEMS,
        },
    )
    def get(self, request: Request) -> HttpResponse:
        """Return the days from ``from`` to ``to``, newest first."""
        arguments = read_arguments(UsageQuerySerializer, request)
        try:
            first, last = usage.span(arguments.get("from"), arguments.get("to"), timezone.now())
        except (ValueError, OverflowError) as error:
            raise Problem(422, "span_invalid", str(error)) from None
        if (last - first).days >= _MOST_DAYS:
            detail = f"Ask for at most {_MOST_DAYS} days at a time."
            raise Problem(422, "span_invalid", detail)
        lines = usage.lines(first, last, self.caller(request).tenant_id)
        if arguments["format"] == "csv":
            return HttpResponse(usage.as_csv(lines), content_type="text/csv; charset=utf-8")
        return JsonResponse(
            {
                "from": first.isoformat(),
                "to": last.isoformat(),
                "total": asdict(usage.total(line.figures for line in lines)),
                "days": [line.as_dict() for line in lines],
            }
        )
