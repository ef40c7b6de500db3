from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.utils import timezone
from django.utils.safestring import SafeString

from ingestion.models import Batch, StreamPartition
from tenants.admin import display
from tenants.admin.base import ReadOnlyAdmin


@admin.register(StreamPartition)
class StreamPartitionAdmin(ReadOnlyAdmin):
    intro = (
        "The units of parallel consumption: a Kafka topic has several, a queue has one. Each holds "
        "the position up to which everything has landed, and the lease of the worker that reads it."
    )
    tenant_path = "source__tenant"
    list_display = ("source", "number", "position", "lag_of", "lease", "landed_count", "misfits")
    list_filter: ClassVar[Any] = ("source__tenant", "source")
    list_select_related = ("source__tenant",)
    label = ("source__tenant__slug", "source__name")
    search_fields = ("source__name", "source__tenant__slug", "source__tenant__name")
    fields = (
        *("source", "number", "position", "low_watermark", "high_watermark", "measured_at"),
        *(
            "landed",
            "quarantined",
            "filtered",
            "lost",
            "unidentified",
            "bytes",
            "last_event_at",
            "last_landed_at",
        ),
        *("lease_owner", "lease_expires_at", "epoch", "crashes", "wanted_by", "wanted_at"),
        *("stream_id", "incarnation", "began_at", "retired_at"),
    )

    def head(self, request: Any, obj: Any) -> dict[str, Any]:
        return {
            "facts": [
                ("Lag", display.number(obj.lag)),
                ("Lease", self.lease(obj)),
                ("Batches", display.listing(Batch, "Show batches", partition__id__exact=obj.pk)),
            ]
        }

    @admin.display(description="Lag")
    def lag_of(self, partition: StreamPartition) -> SafeString:
        return display.number(partition.lag)

    @admin.display(description="Lease", ordering="lease_expires_at")
    def lease(self, partition: StreamPartition) -> SafeString:
        held = partition.lease_owner and partition.lease_expires_at > timezone.now()
        return display.code(partition.lease_owner) if held else display.badge("free", "Free")

    @admin.display(description="Landed", ordering="landed")
    def landed_count(self, partition: StreamPartition) -> SafeString:
        return display.number(partition.landed)

    @admin.display(description="Quarantined", ordering="quarantined")
    def misfits(self, partition: StreamPartition) -> SafeString:
        return display.number(partition.quarantined, alarm=True)
