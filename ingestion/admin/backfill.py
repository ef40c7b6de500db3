from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.utils.safestring import SafeString

from ingestion.backfill.read_options import ReadOptions
from ingestion.models import Backfill
from tenants.admin import display
from tenants.admin.base import ReadOnlyAdmin


@admin.register(Backfill)
class BackfillAdmin(ReadOnlyAdmin):
    intro = (
        "Files of history, each with what was loaded of it. Load files on a table's page, or with "
        "`manage.py backfill TENANT.TABLE FILE`. To continue where a backfill stopped, resume its "
        "run, or run the same command again."
    )
    tenant_path = "table__tenant"
    list_display = ("name", "table", "state_badge", "count", "misfits", "started", "error_line")
    list_filter: ClassVar[Any] = ("state", "table__tenant")
    list_select_related = ("table__tenant",)
    label = ("table__tenant__slug", "table__name")
    search_fields = ("name", "sha256", *label, "table__tenant__name")
    fields = (
        *(
            "table",
            "name",
            "format",
            "origin",
            "read_as",
            "state",
            "rows",
            "quarantined",
            "chunk_rows",
        ),
        *("sha256", "started_at", "finished_at", "error", "remark"),
    )

    @admin.display(description="Loaded from")
    def origin(self, backfill: Backfill) -> str:
        """The URL. A path is the operator's alone: members of the tenant see this page too."""
        return backfill.location if "://" in backfill.location else "a file of the server"

    @admin.display(description="Read with")
    def read_as(self, backfill: Backfill) -> str:
        if backfill.options is None:
            return "not kept: begun before Millrace kept it"
        named = ReadOptions.from_json(backfill.options).named()
        return ", ".join(f"{name} {value!r}" for name, value in named.items()) or "no options"

    @admin.display(description="State", ordering="state")
    def state_badge(self, backfill: Backfill) -> SafeString:
        return display.badge(backfill.state, backfill.get_state_display())

    @admin.display(description="Rows", ordering="rows")
    def count(self, backfill: Backfill) -> SafeString:
        return display.number(backfill.rows)

    @admin.display(description="Quarantined", ordering="quarantined")
    def misfits(self, backfill: Backfill) -> SafeString:
        return display.number(backfill.quarantined, alarm=True)

    @admin.display(description="Started", ordering="started_at")
    def started(self, backfill: Backfill) -> SafeString:
        return display.ago(backfill.started_at)

    @admin.display(description="Last error")
    def error_line(self, backfill: Backfill) -> SafeString:
        return display.trouble(backfill.error)
