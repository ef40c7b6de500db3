from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.utils.safestring import SafeString

from tenants.admin import display
from tenants.admin.base import ReadOnlyAdmin
from tenants.models import APIKey, Usage


@admin.register(Usage)
class UsageAdmin(ReadOnlyAdmin):
    intro = (
        "The usage of tenants by day (UTC) and key. Rows without a key hold events from brokers "
        "and storage. A tenant's page shows charts; the API and manage.py usage export CSV."
    )
    list_display = (
        *("day", "tenant", "key_told", "requests_told", "errors_told", "queries_told"),
        *("rows_told", "read_told", "events_told", "bytes_told", "storage_told"),
    )
    list_filter: ClassVar[Any] = ("tenant",)
    list_select_related = ("tenant",)
    date_hierarchy = "day"
    search_fields = ("tenant__slug", "tenant__name")
    fields = (
        *("tenant", "day", "key_told", "requests", "errors", "queries"),
        *("rows_read", "bytes_read", "events", "bytes", "storage_bytes"),
    )
    readonly_fields = ("key_told",)
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> Any:
        # A subquery, not a join, because a deleted key has no row.
        prefix = APIKey.across_tenants.filter(pk=models.OuterRef("key_id")).values("prefix")[:1]
        return super().get_queryset(request).annotate(key_prefix=models.Subquery(prefix))

    @admin.display(description="Key")
    def key_told(self, row: Any) -> SafeString:
        if row.key_id is None:
            return display.DASH
        return display.code(f"mr_{row.key_prefix}…" if row.key_prefix else f"#{row.key_id}")

    @admin.display(description="Requests", ordering="requests")
    def requests_told(self, row: Usage) -> SafeString:
        return display.number(row.requests)

    @admin.display(description="Errors", ordering="errors")
    def errors_told(self, row: Usage) -> SafeString:
        return display.number(row.errors)

    @admin.display(description="Queries", ordering="queries")
    def queries_told(self, row: Usage) -> SafeString:
        return display.number(row.queries)

    @admin.display(description="Rows read", ordering="rows_read")
    def rows_told(self, row: Usage) -> SafeString:
        return display.number(row.rows_read)

    @admin.display(description="Bytes read", ordering="bytes_read")
    def read_told(self, row: Usage) -> SafeString:
        return display.figures(display.size(row.bytes_read))

    @admin.display(description="Events", ordering="events")
    def events_told(self, row: Usage) -> SafeString:
        return display.number(row.events)

    @admin.display(description="Bytes of events", ordering="bytes")
    def bytes_told(self, row: Usage) -> SafeString:
        return display.figures(display.size(row.bytes))

    @admin.display(description="Storage", ordering="storage_bytes")
    def storage_told(self, row: Usage) -> SafeString:
        return display.figures(display.size(row.storage_bytes))
