from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldBooleanSwitchWidget

from analytics_api import services
from analytics_api.guard import QueryRefused
from analytics_api.models import SavedQuery, SavedQueryVersion
from tenants.admin import display
from tenants.admin.base import Admin, Button
from tenants.admin.typed import TabularInline
from tenants.warehouse.errors import WarehouseError


class SavedQueryForm(forms.ModelForm):  # type: ignore[type-arg]
    publish = forms.BooleanField(
        required=False,
        initial=True,
        widget=UnfoldBooleanSwitchWidget,
        help_text="Make this its endpoint. Without it a draft is saved, and the endpoint stays as "
        "it is.",
    )

    class Meta:
        model = SavedQuery
        fields = ("tenant", "name", "description", "sql", "parameters")
        widgets: ClassVar[Any] = {
            "sql": UnfoldAdminTextareaWidget(
                attrs={"rows": 12, "spellcheck": "false", "style": "font-family: monospace"}
            ),
            "description": UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        }

    def clean(self) -> dict[str, Any]:
        """Refuse here, at the SQL, what could not be published."""
        found = super().clean() or {}
        tenant = found.get("tenant") or (self.instance.tenant if self.instance.pk else None)
        if self.errors or tenant is None or not found.get("publish"):
            return found
        try:
            services.check_query(tenant, found["sql"], found["parameters"])
        except QueryRefused as error:
            self.add_error("parameters" if error.code == "parameter" else "sql", str(error))
        except WarehouseError as error:
            self.add_error("publish", f"It can't be checked now: {error} Save it as a draft.")
        return found


def _unpublish(query: SavedQuery) -> str:
    services.unpublish(query)
    return f"{query} is no endpoint any more. Its versions stay."


class VersionInline(TabularInline):
    model = SavedQueryVersion
    fk_name = "query"
    fields = ("number", "sql", "published_at", "published_by")
    readonly_fields = fields
    extra = 0
    can_delete = False
    verbose_name_plural = "Published versions"

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(SavedQuery)
class SavedQueryAdmin(Admin):
    intro = (
        "Named SQL over one tenant's tables. Published, it is an endpoint that the tenant's API "
        "keys may call; its {name:Type} parameters are the endpoint's."
    )
    form = SavedQueryForm
    fixed_fields = ("tenant", "name")
    inlines = (VersionInline,)
    buttons = (
        Button("unpublish", "Unpublish", "unpublished", _unpublish, lambda one: one.is_published),
    )
    list_display = ("name", "tenant", "state_badge", "address", "summary", "changed")
    list_filter: ClassVar[Any] = ("tenant", ("published", admin.EmptyFieldListFilter))
    list_select_related = ("tenant", "published")
    search_fields = ("name", "description", "tenant__slug", "tenant__name")
    autocomplete_fields = ("tenant",)
    fields = ("tenant", "name", "description", "sql", "parameters", "publish")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if form.cleaned_data["publish"]:
            by: Any = request.user
            services.publish(obj, by)

    def head(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        facts = [("State", self.state_badge(obj))]
        if obj.published is None:
            return {"facts": facts}
        facts.append(("Endpoint", self.address(obj)))
        return {"facts": facts, "curl": _curl(request, obj, obj.published)}

    @admin.display(description="State")
    def state_badge(self, query: SavedQuery) -> SafeString:
        if query.published is None:
            return display.badge("draft", "Draft")
        return display.badge("published", f"Version {query.published.number}")

    @admin.display(description="Endpoint")
    def address(self, query: SavedQuery) -> SafeString:
        return display.code(f"/api/v1/queries/{query.name}" if query.is_published else "")

    @admin.display(description="Description")
    def summary(self, query: SavedQuery) -> SafeString:
        return display.short(query.description)

    @admin.display(description="Changed", ordering="updated_at")
    def changed(self, query: SavedQuery) -> SafeString:
        return display.ago(query.updated_at)


def _curl(request: HttpRequest, query: SavedQuery, version: SavedQueryVersion) -> str:
    """A line that works when a key of the tenant is put into it."""
    known = {one["name"]: one.get("default", one["type"]) for one in version.parameters}
    address = request.build_absolute_uri(f"/api/v1/queries/{query.name}")
    asked = f"?{urlencode(known)}" if known else ""
    return f"curl -H 'Authorization: Bearer mr_…' '{address}{asked}'"
