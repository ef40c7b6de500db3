from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.utils.safestring import SafeString

from ingestion.models import Batch
from tenants.admin import display
from tenants.admin.base import ReadOnlyAdmin


@admin.register(Batch)
class BatchAdmin(ReadOnlyAdmin):
    intro = (
        "Every insert: the messages [from, to) of one partition. Intent: about to be inserted, or "
        "inserted but not recorded yet. Done: in the table. Settled: acknowledged to the broker."
    )
    tenant_path = "partition__source__tenant"
    list_display = ("partition", "offsets", "state_badge", "count", "misfits", "bytes_of", "took")
    list_filter: ClassVar[Any] = ("state", "partition__source__tenant")
    list_select_related = ("partition__source__tenant",)
    label = ("partition__source__tenant__slug", "partition__source__name")
    search_fields = ("=token", *label, "partition__source__tenant__name")
    show_full_result_count = False
    fields = (
        *("partition", "from_offset", "to_offset", "state", "token", "epoch"),
        *("rows", "quarantined", "filtered", "bytes", "opened_at", "done_at"),
    )

    @admin.display(description="Offsets", ordering="from_offset")
    def offsets(self, batch: Batch) -> SafeString:
        return display.code(f"[{batch.from_offset:,}, {batch.to_offset:,})")

    @admin.display(description="State", ordering="state")
    def state_badge(self, batch: Batch) -> SafeString:
        return display.badge(batch.state, batch.get_state_display())

    @admin.display(description="Messages", ordering="rows")
    def count(self, batch: Batch) -> SafeString:
        return display.number(batch.rows)

    @admin.display(description="Quarantined", ordering="quarantined")
    def misfits(self, batch: Batch) -> SafeString:
        return display.number(batch.quarantined, alarm=True)

    @admin.display(description="Size", ordering="bytes")
    def bytes_of(self, batch: Batch) -> str:
        return display.size(batch.bytes)

    @admin.display(description="Landed", ordering="done_at")
    def took(self, batch: Batch) -> SafeString:
        return display.ago(batch.done_at, "not yet")
