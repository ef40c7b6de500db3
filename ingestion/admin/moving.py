"""The pages of a source that reset its position, and that find one of its messages."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import QueryDict

from ingestion.errors import IngestionError
from ingestion.ledger.locate import Location, by_id, by_offset
from ingestion.models import Source
from ingestion.services.resets import ResetTarget, Where, preview, reset
from tenants.warehouse.errors import WarehouseError

_WHERE = (
    (Where.START, "The oldest message at the broker"),
    (Where.END, "New messages only"),
    (Where.TIME, "The first message at or after a time"),
    (Where.OFFSET, "An offset of one partition"),
)
#: Headings of the table that shows a preview.
HEADINGS = ("Partition", "At the broker", "Position", "New position", "Read again", "Skipped")
_CLASS = (
    "border border-base-200 bg-white rounded-default px-3 py-2 w-full "
    "dark:bg-base-900 dark:border-base-700"
)


def _styled(kind: type[forms.Widget], **attributes: str) -> forms.Widget:
    return kind(attrs={"class": _CLASS, **attributes})


class ResetForm(forms.Form):
    """Where the source continues to read."""

    to = forms.ChoiceField(choices=_WHERE, widget=_styled(forms.Select), label="Continue at")
    time = forms.DateTimeField(
        required=False,
        widget=_styled(forms.DateTimeInput, placeholder="2026-01-31 18:00:00"),
        help_text="In UTC.",
    )
    partition = forms.IntegerField(
        required=False,
        min_value=0,
        widget=_styled(forms.NumberInput),
        help_text="Needed with an offset. Otherwise leave it empty to reset all partitions.",
    )
    offset = forms.IntegerField(required=False, min_value=0, widget=_styled(forms.NumberInput))
    doubles = forms.BooleanField(
        required=False,
        label="Insert again what is already in the table, so that it is there twice",
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        for name in ("time", "offset"):
            if cleaned.get("to") == name and cleaned.get(name) is None and name not in self.errors:
                self.add_error(name, f"Enter the {name} to continue at.")
        return cleaned

    @property
    def target(self) -> ResetTarget:
        data = self.cleaned_data
        return ResetTarget(Where(data["to"]), data["offset"], data["time"], data["partition"])


class FindForm(forms.Form):
    """Which message to find."""

    partition = forms.IntegerField(
        required=False, min_value=0, initial=0, widget=_styled(forms.NumberInput)
    )
    offset = forms.IntegerField(required=False, min_value=0, widget=_styled(forms.NumberInput))
    id = forms.CharField(
        required=False,
        label="Or message id",
        widget=_styled(forms.TextInput),
        help_text="The message_id that its sender set (RabbitMQ).",
    )


def previewed(source: Source, query: QueryDict) -> dict[str, Any]:
    """The context of ``millrace/reset.html``: the form, and a preview once it is filled in."""
    if "to" not in query:
        return {"form": ResetForm()}
    form = ResetForm(query)
    if not form.is_valid():
        return {"form": form}
    try:
        return {"form": form, "moves": preview(source, form.target)}
    except (IngestionError, WarehouseError) as error:
        return {"form": form, "trouble": str(error)}


def done(source: Source, data: QueryDict) -> tuple[str, str]:
    """Reset the source; returns (success message, error), one of them empty."""
    form = ResetForm(data)
    if not form.is_valid():
        return "", "The form does not say where to continue. Fill it in again."
    try:
        moves = reset(source, form.target, doubles=form.cleaned_data["doubles"])
    except (IngestionError, WarehouseError) as error:
        return "", str(error)
    again, skipped = (sum(getattr(m, name) for m in moves) for name in ("read_again", "skipped"))
    return f"{source} was reset: {again:,} offsets are read again, {skipped:,} are skipped.", ""


def found(source: Source, query: QueryDict) -> dict[str, Any]:
    """The context of ``millrace/find.html``: the form, and where the message is once it is sent."""
    if not query:
        return {"form": FindForm()}
    form = FindForm(query)
    if not form.is_valid():
        return {"form": form}
    data = form.cleaned_data
    try:
        if data["id"]:
            return _shown(form, by_id(source, data["id"]))
        if data["offset"] is not None:
            return _shown(form, by_offset(source, data["partition"] or 0, data["offset"]))
    except WarehouseError as error:
        return {"form": form, "trouble": str(error)}
    return {"form": form, "trouble": "Enter an offset or a message id."}


def _shown(form: FindForm, location: Location) -> dict[str, Any]:
    message = (location.message or b"").decode(errors="backslashreplace")
    return {"form": form, "location": location, "message": message}
