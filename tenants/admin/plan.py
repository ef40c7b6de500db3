from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.safestring import SafeString

from tenants.admin import display
from tenants.admin.base import Admin
from tenants.models import LIMITS, Plan
from tenants.services import plans


@admin.register(Plan)
class PlanAdmin(Admin):
    intro = (
        "The limits of the tenants that have the plan. Leave a limit empty for unlimited. Changes "
        "take effect within a second; the retention of tables follows within a few seconds. Assign "
        "a plan on the tenant's page."
    )
    tenant_path = ""
    list_display = ("name", "limits", "tenants_total")
    search_fields = ("name",)
    fieldsets: ClassVar[Any] = (
        (None, {"fields": ("name",)}),
        ("Calls", {"fields": ("requests_a_minute", "key_requests_a_minute")}),
        (
            "Queries",
            {
                "fields": (
                    "concurrent_queries",
                    *("rows_a_query", "bytes_a_query"),
                    *("rows_read_a_day", "bytes_read_a_day"),
                )
            },
        ),
        ("Events", {"fields": ("events_a_day", "bytes_a_day")}),
        ("Storage", {"fields": ("retention_days", "storage_bytes")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request).annotate(tenants_count=Count("tenants"))
        return rows

    def save_model(
        self, request: HttpRequest, obj: Any, form: ModelForm[Any], change: bool
    ) -> None:
        super().save_model(request, obj, form, change)
        plans.plan_changed(obj)

    @admin.display(description="Limits")
    def limits(self, plan: Plan) -> SafeString:
        words = [
            f"{name.replace('_', ' ')} {value:,}"
            for name in LIMITS
            if (value := getattr(plan, name)) is not None
        ]
        return display.short(", ".join(words)) if words else display.DASH

    @admin.display(description="Tenants", ordering="tenants_count")
    def tenants_total(self, plan: Any) -> SafeString:
        return display.number(plan.tenants_count)
