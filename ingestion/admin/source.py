from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from ingestion.consume.status import SourceState, SourceStatus, source_status
from ingestion.models import Source, StreamPartition
from ingestion.services import sources
from tenants.admin import display
from tenants.admin.base import Admin, Button


def _pause(source: Source) -> str:
    sources.pause(source)
    return f"{source} is paused: what is under way lands, and nothing more is read."


def _resume(source: Source) -> str:
    sources.resume(source)
    return f"{source} goes on where it was paused."


def _retry(source: Source) -> str:
    sources.retry(source)
    return f"{source} is tried again now."


@admin.register(Source)
class SourceAdmin(Admin):
    intro = (
        "A topic, a queue, or the events endpoint, feeding one table. The list says whether each "
        "is running, how far behind, how fresh, and what broke."
    )
    fixed_fields = ("tenant",)
    buttons = (
        Button("pause", "Pause", "pause", _pause, lambda source: source.active),
        Button("resume", "Resume", "play_arrow", _resume, lambda source: not source.active),
        Button("retry", "Try again now", "refresh", _retry, lambda source: source.attempts > 0),
    )
    list_display = (
        "name",
        "tenant",
        "stream_of",
        "state_badge",
        "lag",
        "freshness",
        "landed",
        "quarantined",
        "last_error",
    )
    list_filter: ClassVar[Any] = ("active", "connection__kind", "tenant", "table")
    list_select_related = ("tenant", "connection", "table")
    search_fields = ("name", "stream", "tenant__slug", "tenant__name")
    autocomplete_fields = ("tenant", "connection", "table")
    fields = ("tenant", "name", "connection", "stream", "table", "start", "active")
    actions = ("pause", "resume")

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """One further query says of all rows of the page how they are."""
        found = super().get_changelist_instance(request)
        rows = list(found.result_list)
        known = source_status(Source.objects.filter(pk__in=[row.pk for row in rows]))
        by_id = {one.source_id: one for one in known}
        for row in rows:
            row.status = by_id[row.pk]
        found.result_list = rows
        return found

    def head(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        (status,) = source_status(Source.objects.filter(pk=obj.pk))
        partitions = StreamPartition, _partitions(status.partitions)
        return {
            "facts": [
                ("State", _badge(status)),
                ("Lag", display.number(status.lag)),
                ("Newest event", _age(status)),
                ("Landed", display.number(status.landed)),
                ("Quarantined", display.number(status.quarantined, alarm=True)),
                ("Read in", display.listing(*partitions, source__id__exact=obj.pk)),
            ],
            "trouble": _trouble(status),
        }

    @admin.display(description="Stream", ordering="stream")
    def stream_of(self, source: Any) -> SafeString:
        if source.connection is None:
            return display.code(f"POST /api/v1/events/{source.name}")
        return display.code(f"{source.connection.name}: {source.stream}")

    @admin.display(description="State")
    def state_badge(self, source: Any) -> SafeString:
        return _badge(source.status)

    @admin.display(description="Lag")
    def lag(self, source: Any) -> SafeString:
        return display.number(source.status.lag)

    @admin.display(description="Newest event")
    def freshness(self, source: Any) -> Any:
        return _age(source.status)

    @admin.display(description="Landed")
    def landed(self, source: Any) -> SafeString:
        return display.number(source.status.landed)

    @admin.display(description="Quarantined")
    def quarantined(self, source: Any) -> SafeString:
        return display.number(source.status.quarantined, alarm=True)

    @admin.display(description="What broke last")
    def last_error(self, source: Any) -> SafeString:
        if source.status.state is SourceState.FAILING:
            return display.trouble(source.status.last_error)
        return display.short(source.status.last_error)

    @admin.action(description="Pause", permissions=["change"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Source]) -> None:
        for source in queryset:
            sources.pause(source)
        messages.success(request, f"Paused {len(queryset)} sources.")

    @admin.action(description="Resume", permissions=["change"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Source]) -> None:
        for source in queryset:
            sources.resume(source)
        messages.success(request, f"Resumed {len(queryset)} sources.")


def _badge(status: SourceStatus) -> SafeString:
    return display.badge(status.state, status.state.title(), status.last_error)


def _age(status: SourceStatus) -> Any:
    if status.freshness_seconds is None:
        return display.DASH
    return f"{display.duration(status.freshness_seconds)} ago"


def _trouble(status: SourceStatus) -> str:
    return status.last_error if status.state is SourceState.FAILING else ""


def _partitions(count: int) -> str:
    return "1 partition" if count == 1 else f"{count} partitions"
