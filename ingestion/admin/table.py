from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.postgres.forms import SimpleArrayField
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    StreamingHttpResponse,
)
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from unfold.widgets import UnfoldAdminTextInputWidget

from ingestion import checks
from ingestion.admin import inferring, keeping, loading, mending, misfits, unread
from ingestion.admin.columns import ColumnInline, consequences
from ingestion.admin.removing import ARCHIVE, RemovableAdmin
from ingestion.models import Source, Table
from ingestion.quarantine import download
from ingestion.services import tables
from tenants.admin import display
from tenants.admin.base import ActRefused, Button, WholeForm
from tenants.audit import record
from tenants.warehouse.errors import WarehouseError


class Confirmation(forms.CharField):
    """The warnings that the user has seen. It is not a field of the table, so it never changes."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        return False


class TableForm(WholeForm):
    sorting_key = SimpleArrayField(
        forms.CharField(),
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Columns that rows are sorted by, separated by commas. Put the columns that "
        "queries filter by first. You can't change this later.",
    )

    #: The warnings about renamed and removed columns that were shown: saving the same form again
    #: confirms them.
    confirmed = Confirmation(required=False, widget=forms.HiddenInput)

    class Meta:
        model = Table
        fields = (
            *("tenant", "name", "sorting_key", "partition_key", "ttl", "quarantine_days"),
            "unknown_fields",
        )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        warnings = consequences(self.instance, self.data)
        if warnings and self.data.get("confirmed") != " ".join(warnings):
            again: Any = self.data.copy()  # type: ignore[attr-defined]
            again["confirmed"] = " ".join(warnings)
            self.data = again
            self.add_error(None, [*warnings, "Nothing was saved yet. Save again to confirm."])
        return cleaned


def _retry(table: Table) -> str:
    tables.retry_table(table)
    return f"{table} is being applied again. Its state shows the outcome."


def _take_back(table: Table) -> str:
    try:
        tables.take_back(table)
    except WarehouseError as error:
        msg = f"Nothing was changed: {error}"
        raise ActRefused(msg) from error
    return f"{table} was reverted. Its columns are those that ClickHouse has."


@admin.register(Table)
class TableAdmin(RemovableAdmin):
    intro = (
        "A table has typed columns, which messages are read into. Saving it here creates or alters "
        "it in ClickHouse. Messages that do not fit go to its quarantine, with the reason."
    )
    form = TableForm
    fixed_fields = ("tenant", "name", "sorting_key", "partition_key")
    fields = (
        *("tenant", "name", "sorting_key", "partition_key", "ttl", "quarantine_days"),
        "unknown_fields",
    )
    inlines = (ColumnInline,)
    buttons = (
        Button("retry", "Apply again now", "refresh", _retry, lambda table: bool(table.error)),
        Button(
            "take_back",
            "Revert to what ClickHouse has",
            "undo",
            _take_back,
            lambda table: bool(table.error and table.version),
        ),
        ARCHIVE,
    )
    list_display = ("name", "tenant", "state_badge", "columns_count", "fed_by", "error_line")
    list_filter: ClassVar[Any] = ("state", "tenant")
    list_select_related = ("tenant",)
    label = ("tenant__slug", "name")
    search_fields = ("name", "tenant__slug", "tenant__name")
    autocomplete_fields = ("tenant",)
    list_before_template = "millrace/table_list.html"
    change_form_before_template = "millrace/proposed.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = (
            super()
            .get_queryset(request)
            .annotate(
                column_total=Count("columns", distinct=True),
                source_total=Count("sources", distinct=True),
            )
            .order_by("tenant", "name")
        )
        return rows

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        _number(form.instance)
        if not change:
            inferring.forget(request)
        if not change or form.has_changed() or any(formset.has_changed() for formset in formsets):
            tables.request_table(form.instance)
            messages.info(request, f"{form.instance} is being created or altered in ClickHouse.")

    # --- A proposal -----------------------------------------------------------------------------

    def infer_view(self, request: HttpRequest) -> HttpResponse:
        """Ask for a sample; a POST proposes a table, which the form of a new table then shows."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = inferring.InferForm(request.user, request.POST or None)
        if form.is_valid() and (proposal := form.proposal()) is not None:
            inferring.keep(request, form, proposal)
            return redirect(f"{reverse('admin:ingestion_table_add')}?proposed")
        context = self.admin_site.each_context(request) | {
            "opts": self.opts,
            "title": "Propose a table from a sample",
            "form": form,
        }
        return TemplateResponse(request, "millrace/infer.html", context)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        may_add = self.has_add_permission(request)
        infer = reverse("admin:ingestion_table_infer") if may_add else ""
        return super().changelist_view(request, {"infer": infer, **(extra_context or {})})

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        extra = {"proposed": inferring.kept(request), **(extra_context or {})}
        answer: HttpResponse = super().add_view(request, form_url, extra)
        return answer

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        proposal = inferring.kept(request)
        return proposal["table"] if proposal else super().get_changeform_initial_data(request)

    def get_formset_kwargs(
        self, request: HttpRequest, obj: Any, inline: Any, prefix: str
    ) -> dict[str, Any]:
        values: dict[str, Any] = super().get_formset_kwargs(request, obj, inline, prefix)
        if obj.pk is None and (proposal := inferring.kept(request)):
            values["initial"] = proposal["columns"]
        return values

    # --- The quarantine -------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        pages = {
            "quarantine": self.quarantine_view,
            "misfits": self.misfits_view,
            "kept": self.kept_view,
            "load": self.load_view,
        }
        routes = [
            path(
                f"<path:object_id>/{name}/",
                self.admin_site.admin_view(view),
                name=f"ingestion_table_{name}",
            )
            for name, view in pages.items()
        ]
        infer = self.admin_site.admin_view(self.infer_view)
        return [
            path("infer/", infer, name="ingestion_table_infer"),
            *routes,
            *super().get_urls(),
        ]

    def quarantine_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the messages that did not fit; a POST tries, replays or discards those shown."""
        table = self.get_object(request, unquote(object_id))
        if table is None or not self.has_view_permission(request, table):
            raise Http404
        wanted, outcome = misfits.Wanted.of(request.GET), mending.Pressed()
        may_mend = self.has_change_permission(request, table)
        form = mending.MendForm(request.POST or None)
        if request.method == "POST":
            if not may_mend:
                raise PermissionDenied
            outcome = mending.act(table, wanted, form, request.POST)
            if outcome.message:
                messages.success(request, outcome.message)
                return redirect(f"{request.path}{wanted.address()}")
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Quarantine of {table}",
            "table": table,
            "download": reverse("admin:ingestion_table_misfits", args=[table.pk])
            + wanted.address(),
            **misfits.context(table, wanted),
            **mending.context(table, form, outcome, may_mend=may_mend),
        }
        return TemplateResponse(request, "millrace/quarantine.html", context)

    def misfits_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """The messages that the quarantine's page shows, as NDJSON."""
        table = self.get_object(request, unquote(object_id))
        if table is None or not self.has_change_permission(request, table) or not table.applied:
            raise Http404
        selection = mending.selection_of(table, misfits.Wanted.of(request.GET))
        record("quarantine.download", table, tenant=table.tenant)
        answer = StreamingHttpResponse(
            download.lines(selection), content_type="application/x-ndjson"
        )
        answer["Content-Disposition"] = f'attachment; filename="{table.name}_quarantine.ndjson"'
        return answer

    # The form's file is stored while it is read. So its tenant and the user's rights are looked at
    # first, and the token of CSRF, which is within the form, after that.
    @method_decorator(csrf_exempt)
    def load_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the form that loads files of history; a POST starts a run."""
        table = self.get_object(request, unquote(object_id))
        if table is None or not self.has_change_permission(request, table):
            raise Http404
        if trouble := loading.refused(request):
            return self._load_page(request, table, loading.LoadForm(), trouble, 413)
        handler = loading.StoringHandler(table.tenant.slug)
        request.upload_handlers = [handler]
        try:
            answer: HttpResponse = csrf_protect(self._load)(request, table, handler)
        finally:
            handler.forget()
        return answer

    def _load(
        self, request: HttpRequest, table: Table, handler: loading.StoringHandler
    ) -> HttpResponse:
        if request.method != "POST":
            return self._load_page(request, table, loading.LoadForm())
        form = loading.LoadForm(request.POST)
        run, trouble = loading.started(table, request, form, handler)
        if run is None:
            return self._load_page(request, table, form, trouble)
        messages.success(request, f"{run.name} is being loaded into {table}.")
        return redirect("admin:ingestion_backfillrun_change", run.pk)

    def _load_page(
        self,
        request: HttpRequest,
        table: Table,
        form: loading.LoadForm,
        trouble: str = "",
        status: int = 200,
    ) -> HttpResponse:
        context = self.admin_site.each_context(request) | {
            "opts": self.opts,
            "title": f"Load files into {table}",
            "table": table,
            "page": self.page_of(table),
            "form": form,
            "file": loading.FileForm()["file"],
            "trouble": trouble,
            "most": display.size(settings.MILLRACE_UPLOAD_MAX_BYTES),
        }
        return TemplateResponse(request, "millrace/load.html", context, status=status)

    def kept_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the kept columns; a POST drops one of them after a confirmation."""
        table = self.get_object(request, unquote(object_id))
        if table is None or not self.has_view_permission(request, table):
            raise Http404
        may_drop, trouble = self.has_delete_permission(request, table), ""
        here = reverse("admin:ingestion_table_kept", args=[table.pk])
        if request.method == "POST":
            if not may_drop:
                raise PermissionDenied
            message, trouble = keeping.done(table, request.POST.get("column", ""))
            if message:
                messages.success(request, message)
                self.log_act(request, table, "drop_column", message)
                return redirect(here)
        context = self.admin_site.each_context(request) | {
            "opts": self.opts,
            "title": f"Kept columns of {table}",
            "table": table,
            "page": self.page_of(table),
            "here": here,
            "may_drop": may_drop,
            "trouble": trouble,
            **keeping.context(table, request.GET.get("column", "") if may_drop else ""),
        }
        return TemplateResponse(request, "millrace/kept_columns.html", context)

    def head(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        address = reverse("admin:ingestion_table_quarantine", args=[obj.pk])
        return {
            "facts": [
                ("State", display.provision_badge(obj.state)),
                ("Messages are typed by", _version(obj)),
                (
                    "Fed by",
                    display.listing(Source, _count(obj.source_total), table__id__exact=obj.pk),
                ),
                ("Did not fit", display.linked(address, "Show the quarantine")),
                ("History", display.linked(self._load_address(obj), "Load files")),
                ("Kept in quarantine for", f"{obj.quarantine_days} days"),
                *unread.facts(obj),
                *_kept(obj),
            ],
            "trouble": obj.error,
            "remarks": checks.remarks(obj),
        }

    def _load_address(self, table: Table) -> str:
        return reverse("admin:ingestion_table_load", args=[table.pk])

    @admin.display(description="State", ordering="state")
    def state_badge(self, table: Table) -> SafeString:
        return display.provision_badge(table.state, table.error)

    @admin.display(description="Columns", ordering="column_total")
    def columns_count(self, table: Any) -> SafeString:
        return display.number(table.column_total)

    @admin.display(description="Fed by", ordering="source_total")
    def fed_by(self, table: Any) -> SafeString:
        return display.listing(Source, _count(table.source_total), table__id__exact=table.pk)

    @admin.display(description="Last error")
    def error_line(self, table: Table) -> SafeString:
        return display.trouble(table.error)


def _kept(table: Table) -> list[tuple[str, Any]]:
    """A link to the columns that are in ClickHouse and no longer described, if there are any."""
    if not (names := keeping.names(table)):
        return []
    address = reverse("admin:ingestion_table_kept", args=[table.pk])
    return [("Columns without a description", display.linked(address, names))]


def _version(table: Table) -> str:
    if not table.version:
        return "nothing yet: ClickHouse has not created the table"
    pending = "" if table.applied == table.generation else "; the columns below are not applied yet"
    return f"version {table.version}{pending}"


def _count(sources: int) -> str:
    return "1 source" if sources == 1 else f"{sources} sources"


def _number(table: Table) -> None:
    """Number the columns in the order in which they were added."""
    for place, column in enumerate(table.columns.order_by("pk")):
        if column.position != place:
            column.position = place
            column.save(update_fields=["position"])
