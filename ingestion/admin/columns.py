"""The columns of a table, edited on its page and validated before they are saved."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.http import HttpRequest

from ingestion import ddl
from ingestion.admin import inferring
from ingestion.models import Column
from ingestion.services.tables import check_columns, check_table
from tenants.admin.typed import InlineFormSet, TabularInline
from tenants.warehouse.errors import WarehouseUnreachable

#: Fields of a table that are not on its form.
_NOT_OF_THE_FORM = ("state", "generation", "applied", "attempts", "error", "retry_at")
_NOT_CHECKED = (
    "ClickHouse does not answer, so Millrace can't check whether it accepts this table. "
    "Nothing was saved. Try again when ClickHouse answers."
)


class ColumnFormSet(InlineFormSet):
    def clean(self) -> None:
        """Show each problem next to the field that it concerns."""
        super().clean()
        kept = [form for form in self.forms if self._is_kept(form)]
        if not kept:
            raise forms.ValidationError("A table needs at least one column.")
        good = [form for form in kept if not form.errors]
        columns, is_whole = tuple(_spec(form.cleaned_data) for form in good), good == kept
        try:
            self._check(columns, is_whole=is_whole)
        except ddl.SpecError as error:
            self._show(error, good, is_whole=is_whole)
        except WarehouseUnreachable as error:
            raise forms.ValidationError(_NOT_CHECKED) from error

    def _check(self, columns: tuple[ddl.ColumnSpec, ...], *, is_whole: bool) -> None:
        try:
            self.instance.clean_fields(exclude=_NOT_OF_THE_FORM)
        except forms.ValidationError:
            is_whole = False
        if is_whole:
            check_table(self.instance, columns)
        else:
            # Other fields show their own errors. Check the columns all the same, so that the
            # user sees every problem at once.
            check_columns(columns)

    def _is_kept(self, form: Any) -> bool:
        filled = form.has_changed() or form.instance.pk
        return bool(filled) and not form.cleaned_data.get("DELETE")

    @staticmethod
    def _show(error: ddl.SpecError, kept: list[Any], *, is_whole: bool) -> None:
        """Show the problems; those of the table as a whole only if ``is_whole``.

        ``is_whole`` says that no column was left out, so that problems of the whole are real.
        """
        forms_of = {form.cleaned_data.get("name"): form for form in kept}
        others = []
        for problem in error.problems:
            form = forms_of.get(problem.column)
            if form is not None and problem.field in form.fields:
                form.add_error(problem.field, problem.message)
            else:
                others.append(str(problem))
        if others and is_whole:
            raise forms.ValidationError(others)


def _spec(data: dict[str, Any]) -> ddl.ColumnSpec:
    return ddl.ColumnSpec(
        data["name"],
        data["type"],
        data["path"],
        data["required"],
        data["default"],
        data["quoted_numbers"],
        data["format"],
        data["metadata"],
        data["expression"],
    )


class ColumnForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Column
        fields = (
            *("name", "type", "path", "metadata", "expression"),
            *("required", "default", "quoted_numbers", "format"),
        )
        help_texts: ClassVar[dict[str, str]] = {
            "path": "Where the value is in the JSON: keys joined by dots, such as user.country, or "
            "JSONPath, such as $['user.name'].first, $.items[0].sku or $.items[*].sku. Leave it "
            "empty to use the name.",
            "metadata": "Read what came with the message instead: key, topic, partition, offset, "
            "timestamp, routing_key, header:NAME, property:NAME; of a loaded file, file or row.",
            "expression": "Compute the value from other columns instead, such as lower(email), "
            "sipHash64(user_id) or toStartOfHour(time).",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        hints = {
            "type": "DateTime64(3)",
            "path": "the name",
            "default": 'JSON: "", 0, []',
            "format": "%d.%m.%Y",
            "metadata": "none",
            "expression": "none",
        }
        for field, hint in hints.items():
            self.fields[field].widget.attrs["placeholder"] = hint
        self.fields["default"].widget.attrs["rows"] = 1

    def clean_default(self) -> str | None:
        return self.cleaned_data["default"] or None

    def clean(self) -> dict[str, Any]:
        """A default makes a column optional; a renamed column is still read from its old path."""
        cleaned = super().clean() or {}
        if cleaned.get("default") is not None:
            cleaned["required"] = False
        before = self.initial.get("name")
        is_moved = "path" in self.changed_data or cleaned.get("path")
        is_renamed = self.instance.pk and "name" in self.changed_data and not is_moved
        reads_message = not (cleaned.get("metadata") or cleaned.get("expression"))
        if is_renamed and reads_message:
            cleaned["path"] = before
        return cleaned


def consequences(table: Any, data: Any) -> list[str]:
    """Warnings about existing columns that the form removes or renames.

    ``data`` is the POST data: the columns' forms are not cleaned yet when this is called.
    """
    warnings = []
    existing = {str(column.pk): column for column in table.columns.all()} if table.pk else {}
    for number in range(_number(data.get("columns-TOTAL_FORMS"))):
        column = existing.get(data.get(f"columns-{number}-id", ""))
        if column is None:
            continue
        name = data.get(f"columns-{number}-name", "").strip()
        if data.get(f"columns-{number}-DELETE"):
            warnings.append(_REMOVED.format(name=column.name))
        elif name and name != column.name:
            path = data.get(f"columns-{number}-path", "").strip() or column.path or column.name
            warnings.append(_RENAMED.format(old=column.name, new=name, path=path))
    return warnings


_REMOVED = (
    "Column {name} is no longer filled. It stays in ClickHouse with its values, and SELECT * still "
    "shows it; in new rows it has its type's default."
)
_RENAMED = (
    "Column {old} becomes {new}: a new column, read from “{path}” in the message. In existing rows "
    "it has its default. Column {old} stays in ClickHouse with its values, and SELECT * still "
    "shows it; in new rows it has its type's default."
)


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 5 else 0


class ColumnInline(TabularInline):
    model = Column
    form = ColumnForm
    formset = ColumnFormSet
    extra = 0
    min_num = 1

    def get_extra(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        """Forms for the columns of a proposal, one of which is there already."""
        proposal = inferring.kept(request) if obj is None else None
        return len(proposal["columns"]) - self.min_num if proposal else self.extra

    fields = (
        *("name", "type", "path", "metadata", "expression"),
        *("required", "default", "quoted_numbers", "format"),
    )
    hide_title = True
