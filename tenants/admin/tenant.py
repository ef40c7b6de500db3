from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import Count, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.safestring import SafeString

from tenants import services
from tenants.admin import display
from tenants.admin.base import Admin
from tenants.admin.typed import TabularInline
from tenants.models import Membership, Tenant, TenantStatus


class MembershipInline(TabularInline):
    model = Membership
    extra = 0
    fields = ("user", "role")
    autocomplete_fields = ("user",)
    verbose_name_plural = "People"


@admin.register(Tenant)
class TenantAdmin(Admin):
    intro = (
        "A tenant is a customer. It owns its warehouse (a ClickHouse database and a user that may "
        "read only it), connections, tables, sources, saved queries and keys."
    )
    keep_reason = (
        "A tenant can't be deleted here, because its ClickHouse database would stay behind. "
        "Suspend it instead: its sources pause and its endpoints answer 403."
    )
    tenant_path = "pk"
    fixed_fields = ("slug",)
    list_display = ("name", "slug", "status_badge", "warehouse_badge", "people", "created")
    list_filter: ClassVar[Any] = ("status", "warehouse__state")
    list_select_related = ("warehouse",)
    search_fields = ("slug", "name")
    fields = ("name", "slug", "status")
    inlines = (MembershipInline,)
    actions = ("suspend", "activate")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = (
            super().get_queryset(request).annotate(people_total=Count("memberships"))
        )
        return rows

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> dict[str, Any]:
        return {}

    def save_model(
        self, request: HttpRequest, obj: Any, form: ModelForm[Any], change: bool
    ) -> None:
        super().save_model(request, obj, form, change)
        warehouse = services.create_warehouse(obj)
        if not change:
            messages.info(
                request,
                f"The warehouse {warehouse.database} is being made. Next: add a connection, "
                "or a table for events sent over HTTP.",
            )

    def head(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        warehouse = getattr(obj, "warehouse", None)
        if warehouse is None:
            return {}
        return {
            "facts": [
                ("Warehouse", display.link(warehouse)),
                ("Warehouse state", display.provision_badge(warehouse.state, warehouse.error)),
            ],
            "trouble": warehouse.error,
        }

    @admin.display(description="Status", ordering="status")
    def status_badge(self, tenant: Tenant) -> SafeString:
        return display.badge(tenant.status, tenant.get_status_display())

    @admin.display(description="Warehouse", ordering="warehouse__state")
    def warehouse_badge(self, tenant: Tenant) -> SafeString:
        warehouse = getattr(tenant, "warehouse", None)
        if warehouse is None:
            return display.DASH
        return display.provision_badge(warehouse.state, warehouse.error)

    @admin.display(description="People", ordering="people_total")
    def people(self, tenant: Any) -> SafeString:
        return display.number(tenant.people_total)

    @admin.display(description="Created", ordering="created_at")
    def created(self, tenant: Tenant) -> SafeString:
        return display.ago(tenant.created_at)

    @admin.action(description="Suspend: pause sources, refuse queries", permissions=["change"])
    def suspend(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> None:
        count = queryset.update(status=TenantStatus.SUSPENDED)
        messages.success(request, f"Suspended {count} tenants.")

    @admin.action(description="Activate", permissions=["change"])
    def activate(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> None:
        count = queryset.update(status=TenantStatus.ACTIVE)
        messages.success(request, f"Activated {count} tenants.")
