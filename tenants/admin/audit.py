from __future__ import annotations

import json
from typing import Any, ClassVar

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString

from tenants.admin import display
from tenants.admin.base import ReadOnlyAdmin
from tenants.audit.entry_formats import as_csv
from tenants.models import AuditEntry

#: Entries fetched at a time for an export.
_CHUNK = 2_000


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    intro = (
        "Who did what to which object, in the admin, over the API and by commands. Entries can't "
        "be changed or deleted here, and contain no secrets."
    )
    list_before_template = "millrace/audit_list.html"
    list_display = ("when", "who", "action", "object_shown", "tenant_slug", "address", "summary")
    list_filter: ClassVar[Any] = ("actor_kind", "object_type", "tenant")
    list_display_links = ("when",)
    search_fields = (
        "actor_name",
        "action",
        "object_name",
        "=object_id",
        "tenant_slug",
        "tenant__name",
    )
    date_hierarchy = "at"
    show_full_result_count = False
    fields = (
        *("at", "actor_kind", "actor_name", "actor_id", "address", "action"),
        *("object_type", "object_id", "object_name", "tenant_slug", "detail"),
    )

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.export_view)
        return [path("export/", view, name="tenants_auditentry_export"), *super().get_urls()]

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """The entries of the filtered and searched list as CSV."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = self.get_changelist_instance(request).get_queryset(request)
        lines = as_csv(rows.iterator(chunk_size=_CHUNK))
        response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = 'attachment; filename="audit.csv"'
        return response

    @admin.display(description="When", ordering="at")
    def when(self, entry: AuditEntry) -> str:
        return f"{entry.at:%Y-%m-%d %H:%M:%S}"

    @admin.display(description="Who", ordering="actor_name")
    def who(self, entry: AuditEntry) -> SafeString:
        return display.figures(entry.actor_name, entry.get_actor_kind_display())

    @admin.display(description="Object", ordering="object_name")
    def object_shown(self, entry: AuditEntry) -> SafeString:
        return display.figures(entry.object_name, f"{entry.object_type} {entry.object_id}")

    @admin.display(description="Detail")
    def summary(self, entry: AuditEntry) -> SafeString:
        return display.short(json.dumps(entry.detail, ensure_ascii=False) if entry.detail else "")
