from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.utils.safestring import SafeString

from ingestion.models import FoldedBatches, Gap
from tenants.admin import display
from tenants.admin.base import ReadOnlyAdmin

_LABEL = ("partition__source__tenant__slug", "partition__source__name")
_SEARCHED = (*_LABEL, "partition__source__tenant__name")


def _offsets(entry: FoldedBatches | Gap) -> SafeString:
    return display.code(f"[{entry.from_offset:,}, {entry.to_offset:,})")


@admin.register(FoldedBatches)
class FoldedBatchesAdmin(ReadOnlyAdmin):
    intro = (
        "Batches settled more than an hour ago, merged into ranges: what was received, inserted, "
        "deduplicated, quarantined and filtered. manage.py ledger checks them against table and "
        "broker."
    )
    tenant_path = "partition__source__tenant"
    list_display = ("partition", "offsets", "batches", "count", "misfits", "bytes_of", "done")
    list_filter: ClassVar[Any] = ("partition__source__tenant",)
    list_select_related = ("partition__source__tenant",)
    label = _LABEL
    search_fields = _SEARCHED
    show_full_result_count = False
    fields = (
        *("partition", "from_offset", "to_offset", "batches", "is_reread"),
        *("rows", "deduplicated", "quarantined", "filtered", "bytes", "opened_at", "done_at"),
    )

    @admin.display(description="Offsets", ordering="from_offset")
    def offsets(self, folded: FoldedBatches) -> SafeString:
        return _offsets(folded)

    @admin.display(description="Messages", ordering="rows")
    def count(self, folded: FoldedBatches) -> SafeString:
        return display.number(folded.rows)

    @admin.display(description="Quarantined", ordering="quarantined")
    def misfits(self, folded: FoldedBatches) -> SafeString:
        return display.number(folded.quarantined, alarm=True)

    @admin.display(description="Size", ordering="bytes")
    def bytes_of(self, folded: FoldedBatches) -> str:
        return display.size(folded.bytes)

    @admin.display(description="Landed", ordering="done_at")
    def done(self, folded: FoldedBatches) -> SafeString:
        return display.ago(folded.done_at)


@admin.register(Gap)
class GapAdmin(ReadOnlyAdmin):
    intro = (
        "Offsets that will never be read: the broker deleted them before Millrace could read "
        "them, or a reset skipped them."
    )
    tenant_path = "partition__source__tenant"
    list_display = ("partition", "offsets", "reason", "noted")
    list_filter: ClassVar[Any] = ("reason", "partition__source__tenant")
    list_select_related = ("partition__source__tenant",)
    label = _LABEL
    search_fields = _SEARCHED
    fields = ("partition", "from_offset", "to_offset", "reason", "noted_at")

    @admin.display(description="Offsets", ordering="from_offset")
    def offsets(self, gap: Gap) -> SafeString:
        return _offsets(gap)

    @admin.display(description="Noted", ordering="noted_at")
    def noted(self, gap: Gap) -> SafeString:
        return display.ago(gap.noted_at)
