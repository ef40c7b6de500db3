from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from ingestion import ddl
from ingestion.admin import activity, moving
from ingestion.admin.removing import ARCHIVE, RemovableAdmin
from ingestion.models import Source, StreamPartition
from ingestion.monitoring.source_status import SourceState, SourceStatus, source_status
from ingestion.services import sources, tables
from tenants.admin import display
from tenants.admin.base import ActRefused, Button, WholeForm
from tenants.admin.scope import is_operator
from tenants.warehouse.errors import WarehouseError


def _pause(source: Source) -> str:
    sources.pause(source)
    return f"{source} was paused. Messages already read will land; no more are read."


def _resume(source: Source) -> str:
    try:
        sources.resume(source)
    except sources.Archived as error:
        raise ActRefused(str(error)) from error
    return f"{source} was resumed. It continues where it was paused."


def _restore(source: Source) -> str:
    sources.restore(source)
    return f"{source} was restored. It is paused: resume it to continue reading."


def _retry(source: Source) -> str:
    sources.retry(source)
    return f"{source} is tried again now."


#: Why a message_id matters: connectors.redelivery recognises a redelivered message by it.
_DOUBLES = (
    "This queue delivers messages without a message_id. If RabbitMQ delivers one of them again, "
    "for example after a crash, Millrace can't always recognise it and may insert it twice. Have "
    "the sender set message_id."
)


_NOT_CHECKED = (
    "ClickHouse does not answer, so Millrace can't check whether it accepts this filter. Nothing "
    "was saved. Try again when ClickHouse answers."
)


def _is_paused(source: Source) -> bool:
    return not source.active and not source.is_archived


def _is_failing(source: Source) -> bool:
    return source.attempts > 0 and not source.is_archived


def _page(name: str) -> str:
    return f"ingestion_source_{name}"


class SourceForm(WholeForm):
    def clean(self) -> dict[str, Any]:
        """Check a filter that is new, or that is new to its table."""
        cleaned = super().clean() or {}
        is_new = {"filter", "table"} & set(self.changed_data)
        if cleaned.get("filter") and is_new and not self.errors:
            table = cleaned.get("table") or self.instance.table
            name = cleaned.get("name") or self.instance.name
            try:
                tables.check_filter(table, name, cleaned["filter"])
            except ddl.SpecError as error:
                self.add_error("filter", [problem.message for problem in error.problems])
            except WarehouseError:
                self.add_error("filter", _NOT_CHECKED)
        return cleaned


@admin.register(Source)
class SourceAdmin(RemovableAdmin):
    intro = (
        "A source reads a topic, a queue or the events endpoint into one table. The list shows "
        "whether each source is running, how far behind it is, how fresh its data are, and its "
        "last error."
    )
    fixed_fields = ("tenant",)
    buttons = (
        Button("pause", "Pause", "pause", _pause, lambda source: source.active),
        Button("resume", "Resume", "play_arrow", _resume, _is_paused),
        Button("retry", "Try again now", "refresh", _retry, _is_failing),
        ARCHIVE,
        Button("restore", "Restore", "unarchive", _restore, lambda source: source.is_archived),
    )
    list_display = (
        "name",
        "tenant",
        "stream_of",
        "state_badge",
        "lag",
        "freshness",
        "throughput",
        "landed",
        "quarantined",
        "last_error",
    )
    list_filter: ClassVar[Any] = (
        "active",
        ("archived_at", admin.EmptyFieldListFilter),
        *("connection__kind", "tenant", "table"),
    )
    list_select_related = ("tenant", "connection", "table")
    label = ("tenant__slug", "name")
    search_fields = ("name", "stream", "tenant__slug", "tenant__name")
    autocomplete_fields = ("tenant", "connection", "table")
    form = SourceForm
    fields = (
        *("tenant", "name", "connection", "stream", "table", "start"),
        *("filter", "quarantine_limit", "active"),
    )
    actions = ("pause", "resume")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[Any, ...]:
        """Lock the stream of a shared connection: it has other tenants' streams as well.

        Only the operator may choose it.
        """
        fields = super().get_readonly_fields(request, obj)
        if obj is not None and obj.is_archived:
            fields = (*fields, "active")
        is_shared = obj is not None and obj.connection and obj.connection.tenant_id is None
        return (
            (*fields, "connection", "stream")
            if is_shared and not is_operator(request.user)
            else fields
        )

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        sources.request_filter(obj, form.initial.get("filter", ""), form.initial.get("table"))
        if change and "active" in form.changed_data:
            (sources.resume if obj.active else sources.pause)(obj)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Fetch the status of all rows on the page with one more query."""
        changelist = super().get_changelist_instance(request)
        rows = list(changelist.result_list)
        statuses = source_status(Source.objects.filter(pk__in=[row.pk for row in rows]))
        by_id = {status.source_id: status for status in statuses}
        for row in rows:
            row.status = by_id[row.pk]
        changelist.result_list = rows
        return changelist

    # --- Resetting it, and finding its messages -------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        pages = {"reset": self.reset_view, "find": self.find_view}
        routes = [
            path(f"<path:object_id>/{name}/", self.admin_site.admin_view(view), name=_page(name))
            for name, view in pages.items()
        ]
        return [*routes, *super().get_urls()]

    def reset_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the form and a preview; a POST resets the source."""
        source = self._seen(request, object_id)
        if not self.has_change_permission(request, source):
            raise PermissionDenied
        if request.method == "POST":
            message, trouble = moving.done(source, request.POST)
            if message:
                messages.success(request, message)
                self.log_act(request, source, "reset", message)
            else:
                messages.error(request, trouble)
            return redirect(self.page_of(source))
        context = moving.previewed(source, request.GET) | {"headings": moving.HEADINGS}
        return self._page(request, "reset", f"Reset {source}", source, context)

    def find_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show a message's row, or its entry in the quarantine."""
        source = self._seen(request, object_id)
        context = moving.found(source, request.GET)
        return self._page(request, "find", f"Find a message of {source}", source, context)

    def _seen(self, request: HttpRequest, object_id: str) -> Source:
        source: Source | None = self.get_object(request, unquote(object_id))
        if source is None or not self.has_view_permission(request, source):
            raise Http404
        return source

    def _page(
        self, request: HttpRequest, name: str, title: str, source: Source, context: dict[str, Any]
    ) -> HttpResponse:
        common = self.admin_site.each_context(request)
        own = {"opts": self.opts, "title": title, "source": source}
        return TemplateResponse(request, f"millrace/{name}.html", common | own | context)

    def head(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        now = timezone.now()
        (status,) = source_status(Source.objects.filter(pk=obj.pk), now=now)
        partitions = StreamPartition, _partitions(status.partitions)
        hours = activity.chosen(request.GET.get("hours", ""))
        return {
            "facts": [
                ("State", _badge(obj, status)),
                ("Newest event", _age(status)),
                ("Landed", display.number(status.landed)),
                ("Quarantined", _misfits(obj, status)),
                *_filtered(status),
                ("Lost", display.number(status.lost, alarm=True)),
                *_unidentified(status),
                ("Read in", display.listing(*partitions, source__id__exact=obj.pk)),
                (
                    "Messages",
                    display.linked(reverse(f"admin:{_page('find')}", args=[obj.pk]), "Find"),
                ),
                (
                    "Position",
                    display.linked(reverse(f"admin:{_page('reset')}", args=[obj.pk]), "Reset"),
                ),
            ],
            "trouble": _trouble(status),
            "notice": status.paused_reason,
            "remarks": [_DOUBLES] if status.unidentified else [],
            "charts": activity.charts(obj, status, hours, now),
            "spans": activity.spans(hours),
        }

    @admin.display(description="Stream", ordering="stream")
    def stream_of(self, source: Any) -> SafeString:
        if source.connection is None:
            return display.figures("HTTP", f"POST /api/v1/events/{source.name}")
        return display.code(f"{source.connection.name}: {source.stream}")

    @admin.display(description="State")
    def state_badge(self, source: Any) -> SafeString:
        return _badge(source, source.status)

    @admin.display(description="Lag")
    def lag(self, source: Any) -> SafeString:
        return display.figures(
            activity.lag(source.status), "Messages waiting at the broker, and for how long"
        )

    @admin.display(description="Freshness")
    def freshness(self, source: Any) -> SafeString:
        return display.figures(
            activity.freshness_text(source.status),
            "Age of events when they landed: median and 95th percentile. "
            f"Newest event: {_age(source.status)}",
        )

    @admin.display(description="Events/s")
    def throughput(self, source: Any) -> SafeString:
        status = source.status
        size = display.size(int(status.bytes_per_second))
        return display.figures(activity.rate(status.events_per_second), f"{size} per second")

    @admin.display(description="Landed")
    def landed(self, source: Any) -> SafeString:
        return display.number(source.status.landed)

    @admin.display(description="Quarantined")
    def quarantined(self, source: Any) -> SafeString:
        return display.number(source.status.quarantined, alarm=True)

    @admin.display(description="Last error")
    def last_error(self, source: Any) -> SafeString:
        status = source.status
        if status.state is SourceState.FAILING:
            return display.trouble(status.last_error)
        return display.short(status.paused_reason or status.last_error)

    @admin.action(description="Pause", permissions=["change"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Source]) -> None:
        for source in queryset:
            sources.pause(source)
        messages.success(request, f"{display.were(len(queryset), 'source')} paused.")

    @admin.action(description="Resume", permissions=["change"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Source]) -> None:
        archived = queryset.filter(archived_at__isnull=False).count()
        resumed = list(queryset.filter(archived_at=None))
        for source in resumed:
            sources.resume(source)
        messages.success(request, f"{display.were(len(resumed), 'source')} resumed.")
        if archived:
            not_resumed = f"{display.were(archived, 'archived source')} not resumed."
            messages.warning(request, f"{not_resumed} Restore a source before you resume it.")


def _badge(source: Source, status: SourceStatus) -> SafeString:
    title = status.paused_reason or status.last_error
    if source.is_archived:
        return display.badge("archived", "Archived", title)
    return display.badge(status.state, status.state.title(), title)


def _misfits(source: Source, status: SourceStatus) -> SafeString:
    """How many messages are in quarantine, as a link to them."""
    number = display.number(status.quarantined, alarm=True)
    if not status.quarantined:
        return number
    address = reverse("admin:ingestion_table_quarantine", args=[source.table_id])
    return display.linked(f"{address}?source={source.pk}", number)


def _filtered(status: SourceStatus) -> list[tuple[str, SafeString]]:
    if not (status.filter or status.filtered):
        return []
    return [("Filtered", display.number(status.filtered))]


def _unidentified(status: SourceStatus) -> list[tuple[str, SafeString]]:
    if status.kind != "rabbitmq":
        return []
    return [("Without message_id", display.number(status.unidentified, alarm=True))]


def _age(status: SourceStatus) -> Any:
    if status.freshness_seconds is None:
        return display.DASH
    return f"{display.duration(status.freshness_seconds)} ago"


def _trouble(status: SourceStatus) -> str:
    return status.last_error if status.state is SourceState.FAILING else ""


def _partitions(count: int) -> str:
    return "1 partition" if count == 1 else f"{count} partitions"
