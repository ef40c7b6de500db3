"""The columns of a table, edited on its page and held against the rules before they are saved."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms

from ingestion import ddl
from ingestion.models import Column
from ingestion.services.tables import check_columns, check_table
from tenants.admin.typed import InlineFormSet, TabularInline
from tenants.warehouse.errors import WarehouseUnreachable

#: Fields of a table that its page does not ask for.
_NOT_OF_THE_FORM = ("state", "generation", "applied", "attempts", "error", "retry_at")
_NOT_CHECKED = (
    "ClickHouse does not answer, so that nobody can say whether the table can be made like this. "
    "Nothing was saved. Try again when it answers."
)


class ColumnFormSet(InlineFormSet):
    def clean(self) -> None:
        """Show each problem at the field that it is about."""
        super().clean()
        kept = [form for form in self.forms if self._is_kept(form)]
        if any(form.errors for form in kept):
            return
        if not kept:
            raise forms.ValidationError("A table needs at least one column.")
        columns = tuple(_spec(form.cleaned_data) for form in kept)
        try:
            self._check(columns)
        except ddl.SpecError as error:
            self._show(error, kept)
        except WarehouseUnreachable as error:
            raise forms.ValidationError(_NOT_CHECKED) from error

    def _check(self, columns: tuple[ddl.ColumnSpec, ...]) -> None:
        try:
            self.instance.clean_fields(exclude=_NOT_OF_THE_FORM)
        except forms.ValidationError:
            # The fields above the columns say so themselves; all that is wrong shows at once.
            check_columns(columns)
        else:
            check_table(self.instance, columns)

    def _is_kept(self, form: Any) -> bool:
        filled = form.has_changed() or form.instance.pk
        return bool(filled) and not form.cleaned_data.get("DELETE")

    @staticmethod
    def _show(error: ddl.SpecError, kept: list[Any]) -> None:
        forms_of = {form.cleaned_data.get("name"): form for form in kept}
        others = []
        for problem in error.problems:
            form = forms_of.get(problem.column)
            if form is not None and problem.field in form.fields:
                form.add_error(problem.field, problem.message)
            else:
                others.append(str(problem))
        if others:
            raise forms.ValidationError(others)


def _spec(data: dict[str, Any]) -> ddl.ColumnSpec:
    return ddl.ColumnSpec(
        data["name"],
        data["type"],
        data["path"],
        data["required"],
        data["default"],
        data["quoted_numbers"],
    )


class ColumnForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Column
        fields = ("name", "type", "path", "required", "default", "quoted_numbers")
        help_texts: ClassVar[dict[str, str]] = {
            "path": "Where in the JSON the value stands: keys joined by dots, such as "
            "user.country; nothing within an array. Empty: the name."
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        hints = {"type": "DateTime64(3)", "path": "the name", "default": 'JSON: "", 0, []'}
        for field, hint in hints.items():
            self.fields[field].widget.attrs["placeholder"] = hint
        self.fields["default"].widget.attrs["rows"] = 1

    def clean_default(self) -> str | None:
        return self.cleaned_data["default"] or None


class ColumnInline(TabularInline):
    model = Column
    form = ColumnForm
    formset = ColumnFormSet
    extra = 0
    min_num = 1
    fields = ("name", "type", "path", "required", "default", "quoted_numbers")
    hide_title = True
