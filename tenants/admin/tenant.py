from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.forms import ModelForm
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.safestring import SafeString

from tenants import roles
from tenants.admin import display, lifecycle, spending
from tenants.admin.base import Admin, Button
from tenants.admin.scope import is_operator
from tenants.admin.typed import TabularInline
from tenants.lifecycle.tenant_export import exports_of
from tenants.models import Membership, Tenant, TenantStatus
from tenants.services import tenants
from tenants.services.plans import tenant_changed
from tenants.services.warehouses import create_warehouse
from tenants.task_queue import send


def _suspend(tenant: Tenant) -> str:
    tenants.suspend(tenant)
    return f"{tenant} was suspended. Its ingestion pauses within seconds; its API calls get a 403."


def _resume(tenant: Tenant) -> str:
    tenants.resume(tenant)
    return f"{tenant} was resumed."


def _is_suspended(tenant: Tenant) -> bool:
    return tenant.status == TenantStatus.SUSPENDED


def _export(tenant: Tenant) -> str:
    send("tenants.tasks.export_tenant", tenant.pk)
    return f"A worker is exporting {tenant}. This page shows the folder when it is complete."


class MembershipInline(TabularInline):
    model = Membership
    extra = 0
    fields = ("user", "role")
    readonly_fields = ("person",)
    autocomplete_fields = ("user",)
    verbose_name_plural = "Members"

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        user = request.user
        return is_operator(user) or roles.may(user, Membership, "view", obj)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields if is_operator(request.user) else ("person", "role")

    @admin.display(description="User")
    def person(self, membership: Membership) -> str:
        """As plain text: a link would lead to a page that only operators may see."""
        return str(membership.user)


@admin.register(Tenant)
class TenantAdmin(Admin):
    intro = (
        "A tenant is a customer. It owns a warehouse (a ClickHouse database and a user that can "
        "read only it), connections, tables, sources, saved queries and keys."
    )
    keep_reason = (
        "A tenant has more than rows in Postgres, so use the Delete button on its page. To close "
        "it for a while, suspend it: its sources pause and its API calls get a 403."
    )
    buttons = (
        Button("suspend", "Suspend", "pause", _suspend, lambda tenant: tenant.is_active),
        Button("resume", "Resume", "play_arrow", _resume, _is_suspended),
        Button("export", "Export", "download", _export),
        Button("erase", "Erase a person", "person_remove", page="tenants_tenant_erase"),
        Button("delete", "Delete", "delete_forever", danger=True, page="tenants_tenant_remove"),
    )
    tenant_path = "pk"
    fixed_fields = ("slug",)
    list_display = ("name", "slug", "status_badge", "plan", "warehouse_badge", "members", "created")
    list_filter: ClassVar[Any] = ("status", "plan", "warehouse__state")
    list_select_related = ("warehouse", "plan")
    search_fields = ("slug", "name")
    fields = ("name", "slug", "plan", "weight")
    readonly_fields = ("plan_name",)
    inlines = (MembershipInline,)
    actions = ("suspend", "resume")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = (
            super()
            .get_queryset(request)
            .annotate(members_total=Count("memberships"))
            .order_by("slug")
        )
        return rows

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        names = super().get_fields(request, obj)
        if is_operator(request.user):
            return names
        return ["plan_name" if name == "plan" else name for name in names]

    @admin.display(description="Plan")
    def plan_name(self, tenant: Tenant) -> str:
        """As plain text: a link would lead to a page that only operators may see."""
        return str(tenant.plan or display.DASH)

    def get_list_filter(self, request: HttpRequest) -> Any:
        """Only operators may see the names of all plans."""
        filters = super().get_list_filter(request)
        if is_operator(request.user):
            return filters
        return [name for name in filters if name != "plan"]

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> dict[str, Any]:
        return {}

    def save_model(
        self, request: HttpRequest, obj: Any, form: ModelForm[Any], change: bool
    ) -> None:
        super().save_model(request, obj, form, change)
        warehouse = create_warehouse(obj)
        if change and "plan" in form.changed_data:
            tenant_changed(obj)
        if not change:
            messages.info(
                request,
                f"The warehouse {warehouse.database} is being created. Next, add a connection, "
                "or a table for events sent over HTTP.",
            )

    def head(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        warehouse = getattr(obj, "warehouse", None)
        if warehouse is None:
            return {}
        days = spending.chosen(request.GET.get("days", ""))
        hold = getattr(obj, "ingestion_hold", None)
        return {
            "facts": [
                ("Status", self.status_badge(obj)),
                ("Warehouse", display.link(warehouse)),
                ("Warehouse state", display.provision_badge(warehouse.state, warehouse.error)),
                ("Stored", display.size(warehouse.storage_bytes)),
                ("Latest export", next(iter(exports_of(obj.slug)), display.DASH)),
            ],
            "trouble": warehouse.error,
            "notice": hold.reason if hold is not None else "",
            "charts": spending.charts(obj, days, timezone.now()),
            "spans": spending.spans(days),
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

    @admin.display(description="Members", ordering="members_total")
    def members(self, tenant: Any) -> SafeString:
        return display.number(tenant.members_total)

    @admin.display(description="Created", ordering="created_at")
    def created(self, tenant: Tenant) -> SafeString:
        return display.ago(tenant.created_at)

    @admin.action(description="Suspend: pause sources, refuse API calls", permissions=["act"])
    def suspend(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> None:
        active = queryset.filter(status=TenantStatus.ACTIVE)
        count = sum(tenants.suspend(tenant) for tenant in active)
        messages.success(request, f"{display.were(count, 'tenant')} suspended.")

    @admin.action(description="Resume", permissions=["act"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> None:
        suspended = queryset.filter(status=TenantStatus.SUSPENDED)
        count = sum(tenants.resume(tenant) for tenant in suspended)
        messages.success(request, f"{display.were(count, 'tenant')} resumed.")

    # --- Pages of its lifecycle -----------------------------------------------------------------

    def has_act_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only operators suspend, export, erase and delete."""
        return request.user.is_active and request.user.is_superuser

    def get_urls(self) -> list[URLPattern]:
        pages = {"erase": self.erase_view, "remove": self.remove_view}
        routes = [
            path(
                f"<path:object_id>/{name}/",
                self.admin_site.admin_view(view),
                name=f"tenants_tenant_{name}",
            )
            for name, view in pages.items()
        ]
        return [*routes, *super().get_urls()]

    def erase_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The form to erase a person's rows; it previews them, then erases them."""
        tenant = self._own(request, object_id)
        context = lifecycle.erased(tenant, request.POST)
        report = context.get("report")
        if report is not None and report.erased:
            label = f"Erased {report.rows} rows by {report.column}."
            self.log_act(request, tenant, "erase", label)
        headings = ("Table", "Kind", "Before", "Now", "What to do")
        return self._page(
            request,
            "tenant_erase",
            f"Erase a person's rows of {tenant}",
            tenant,
            {"headings": headings, **context},
        )

    def remove_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Shows what the tenant has, and deletes all of it once its slug is typed."""
        tenant = self._own(request, object_id)
        # The button on the tenant's page sends an empty form, which confirms nothing.
        if "confirmation" in request.POST:
            context = lifecycle.deleted(tenant, request.POST)
        else:
            context = lifecycle.to_delete(tenant)
        return self._page(request, "tenant_delete", f"Delete {tenant}", tenant, context)

    def _own(self, request: HttpRequest, object_id: str) -> Tenant:
        if not self.has_act_permission(request):
            raise PermissionDenied
        tenant: Tenant | None = self.get_object(request, unquote(object_id))
        if tenant is None:
            raise Http404
        return tenant

    def _page(
        self, request: HttpRequest, name: str, title: str, tenant: Tenant, context: dict[str, Any]
    ) -> HttpResponse:
        common = self.admin_site.each_context(request)
        own = {"opts": self.opts, "title": title, "tenant": tenant}
        return TemplateResponse(request, f"millrace/{name}.html", common | own | context)
