"""The page that deletes a source, table or connection, and the Archive button."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from ingestion.errors import IngestionError
from ingestion.models import Table
from ingestion.services import removal
from ingestion.services.removal import Removable
from tenants.admin import display
from tenants.admin.base import Admin, Button, Question
from tenants.warehouse.errors import WarehouseError

_CLASS = (
    "border border-base-200 bg-white rounded-default px-3 py-2 w-full "
    "dark:bg-base-900 dark:border-base-700"
)


class RemoveForm(forms.Form):
    """What happens to the rows, and the name as a confirmation."""

    rows = forms.ChoiceField(
        choices=[
            ("keep", "Keep the rows that it landed, so that queries still find them"),
            ("delete", "Delete its rows too, from the table and the quarantine"),
        ],
        initial="keep",
        widget=forms.RadioSelect,
        label="Its rows in ClickHouse",
    )
    confirmation = forms.CharField(
        max_length=63, widget=forms.TextInput(attrs={"class": _CLASS, "autocomplete": "off"})
    )

    def __init__(self, obj: Removable, data: QueryDict | None = None) -> None:
        super().__init__(data)
        self.fields["confirmation"].label = f"Type its name to confirm: {obj.name}"
        if isinstance(obj, Table):  # A table is always deleted with its rows.
            del self.fields["rows"]


class RemovableAdmin(Admin):
    """Replaces Django's delete page, which knows only about rows in Postgres."""

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Show what goes and what stays; delete the object once its name is typed."""
        obj = self.get_object(request, unquote(object_id))
        if obj is None:
            return super().delete_view(request, object_id, extra_context)  # Says "doesn't exist".
        if not self.has_delete_permission(request, obj):
            raise PermissionDenied
        form = RemoveForm(obj, request.POST if "confirmation" in request.POST else None)
        trouble = ""
        if form.is_valid():
            done, trouble = self._deleted(request, obj, form.cleaned_data)
            if done is not None:
                return done
        preview = removal.preview(obj)
        context = self.admin_site.each_context(request) | {
            "opts": self.opts,
            "title": f"Delete {obj}",
            "object": obj,
            "page": self.page_of(obj),
            "form": form,
            "trouble": trouble,
            "preview": preview,
            "queries": removal.some_of(preview.queries),
        }
        return TemplateResponse(request, "millrace/remove.html", context)

    def _deleted(
        self, request: HttpRequest, obj: Removable, data: dict[str, Any]
    ) -> tuple[HttpResponse | None, str]:
        """Delete it; returns the response, or None and why it was not deleted."""
        try:
            left = removal.delete(
                obj, data["confirmation"].strip(), with_rows=data.get("rows") == "delete"
            )
        except removal.StoppedHalfWay as error:
            return None, str(error)
        except (IngestionError, WarehouseError) as error:
            return None, f"{obj} was not deleted: {error}"
        self.log_deletions(request, [obj])
        messages.success(request, f"{obj} was deleted.")
        for line in left:
            messages.warning(request, line)
        return redirect(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"), ""

    def get_actions(self, request: HttpRequest) -> Any:
        """Leave out the bulk delete: an object's own delete page says what goes with it."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions


# --- The archive --------------------------------------------------------------------------------


def _ask(obj: Removable) -> Question:
    return Question(removal.archive_preview(obj).consequences)


def _archive(obj: Removable) -> str:
    count = len(removal.archive(obj).sources)
    return f"{display.were(count, 'source')} archived. All rows stay."


def _is_read(obj: Removable) -> bool:
    return bool(removal.archive_preview(obj).sources)


ARCHIVE = Button("archive", "Archive", "archive", _archive, _is_read, ask=_ask)
