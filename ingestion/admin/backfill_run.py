from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from ingestion.models import BackfillRun
from ingestion.services import backfill_runs
from ingestion.services.runs import RunRefused
from tenants.admin import display
from tenants.admin.base import ActRefused, Button, ReadOnlyAdmin

#: Seconds after which the page of a run that goes on is loaded again.
REFRESH = 3


def _cancel(run: BackfillRun) -> str:
    try:
        backfill_runs.cancel(run)
    except RunRefused as error:
        raise ActRefused(str(error)) from error
    return "It stops after its present chunk. The rows that have landed stay."


def _resume(run: BackfillRun) -> str:
    try:
        backfill_runs.resume(run)
    except RunRefused as error:
        raise ActRefused(str(error)) from error
    return "It goes on where it stopped, and loads nothing twice."


@admin.register(BackfillRun)
class BackfillRunAdmin(ReadOnlyAdmin):
    intro = (
        "Files that workers load in the background. To start a run, open a table and choose "
        "Load files."
    )
    tenant_path = "table__tenant"
    list_display = ("name", "table", "state_badge", "progress", "landed", "misfits", "started")
    list_filter: ClassVar[Any] = ("state", "table__tenant")
    list_select_related = ("table__tenant",)
    label = ("table__tenant__slug", "table__name")
    search_fields = ("name", *label, "table__tenant__name")
    fields = ("table", "name", "state", "files", "file", "step", "actor", "worked_at", "outcome")
    buttons = (
        Button("cancel", "Cancel", "cancel", _cancel, lambda run: run.goes_on, danger=True),
        Button("resume", "Resume", "play_arrow", _resume, lambda run: run.can_resume),
    )

    def head(self, request: HttpRequest, obj: BackfillRun) -> dict[str, Any]:
        quarantine = reverse("admin:ingestion_table_quarantine", args=[obj.table_id])
        return {
            "facts": [
                ("State", self.state_badge(obj)),
                ("Progress", self.progress(obj)),
                ("Rate", _rate(obj)),
                ("Landed", self.landed(obj)),
                ("In quarantine", display.linked(quarantine, f"{obj.quarantined:,}")),
                ("Loaded before", display.number(obj.skipped)),
                ("Started", self.started(obj)),
                ("Started by", obj.actor),
            ],
            "trouble": obj.error,
        }

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Let the page of a run that goes on load itself again, to show its progress."""
        answer = super().changeform_view(request, *args, **kwargs)
        run = getattr(answer, "context_data", {}).get("original")
        if request.method == "GET" and run is not None and run.goes_on:
            answer["Refresh"] = str(REFRESH)
        return answer

    @admin.display(description="State", ordering="state")
    def state_badge(self, run: BackfillRun) -> SafeString:
        return display.badge(run.state, run.get_state_display())

    @admin.display(description="Progress")
    def progress(self, run: BackfillRun) -> SafeString:
        return progress(run)

    @admin.display(description="Landed", ordering="rows")
    def landed(self, run: BackfillRun) -> SafeString:
        return display.number(run.landed)

    @admin.display(description="Quarantined", ordering="quarantined")
    def misfits(self, run: BackfillRun) -> SafeString:
        return display.number(run.quarantined, alarm=True)

    @admin.display(description="Started", ordering="created_at")
    def started(self, run: BackfillRun) -> SafeString:
        return display.ago(run.created_at)

    @admin.display(description="What became of each file")
    def outcome(self, run: BackfillRun) -> str:
        return "\n".join(map(_sentence, run.outcomes)) or "none is finished"


def progress(run: BackfillRun) -> SafeString:
    """A bar of the present step, with the file's number if there are several."""
    percent, of = run.percent, f" of file {run.file} of {run.files}" if (run.files or 0) > 1 else ""
    if percent is None:
        return format_html("{}", run.step or "waits for a worker")
    label = f"{percent} %{of if run.goes_on else ''}"
    return format_html(
        '<progress class="w-32 align-middle accent-primary-600" max="100" value="{}" '
        'aria-label="Progress"></progress> <span class="whitespace-nowrap">{}</span>',
        percent,
        label,
    )


def _rate(run: BackfillRun) -> str:
    """Rows a second since a worker first took it."""
    if run.begun_at is None or not run.rows:
        return "none yet"
    seconds = ((run.finished_at or timezone.now()) - run.begun_at).total_seconds()
    return f"{run.rows / max(seconds, 0.1):,.0f} rows/s"


def _sentence(outcome: dict[str, Any]) -> str:
    if "landed" not in outcome:
        return f"{outcome['file']}: {outcome['error']}"
    text = (
        f"{outcome['file']}: {outcome['landed']:,} rows landed, {outcome['quarantined']:,} are in "
        f"quarantine, {outcome['skipped']:,} were loaded before."
    )
    return f"{text} {outcome['error']}" if outcome.get("error") else text
