"""The part of the quarantine's page that tries, replays, discards and shows runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import QueryDict
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from ingestion.admin.misfits import Wanted
from ingestion.errors import IngestionError
from ingestion.models import QuarantineRun, Table
from ingestion.quarantine.dry_run import DryRun, dry_run
from ingestion.quarantine.misfit_selection import Selection
from ingestion.quarantine.repair import MOST
from ingestion.services import quarantine_runs
from ingestion.services.quarantine_runs import MOST_NOTE
from ingestion.services.runs import RunRefused
from tenants.warehouse.errors import WarehouseError

#: The most messages that a dry run on the page tries, the oldest.
TRIED = 20_000
#: How many runs the page lists.
LISTED = 10


class MendForm(forms.Form):
    repair = forms.CharField(
        required=False,
        max_length=MOST,
        strip=False,
        label="Repair",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "spellcheck": "false"}),
        help_text="A ClickHouse expression over raw, the message. It gives the message's new text, "
        "such as replaceOne(raw, '\"n/a\"', 'null'). Leave it empty if you have changed the table "
        "instead.",
    )
    note = forms.CharField(
        required=False,
        max_length=MOST_NOTE,
        label="Why discard",
        widget=UnfoldAdminTextInputWidget,
        help_text="Only to discard: why nobody needs these messages. It is kept in the audit log.",
    )


@dataclass(frozen=True, slots=True)
class Pressed:
    """What a button did: a ``message``, a dry run to show, or what was wrong."""

    message: str = ""
    tried: DryRun | None = None
    trouble: str = ""


def selection_of(table: Table, wanted: Wanted) -> Selection:
    """The messages that the page shows."""
    is_key = wanted.source.isascii() and wanted.source.isdigit() and len(wanted.source) < 19
    source = table.sources.filter(pk=wanted.source).first() if is_key else None
    return quarantine_runs.selected(table, wanted.reason, wanted.column, source)


def act(table: Table, wanted: Wanted, form: MendForm, posted: QueryDict) -> Pressed:
    """Do what the button in ``posted`` says, with the messages that the page shows."""
    if not form.is_valid():
        return Pressed(
            trouble=" ".join(str(text) for texts in form.errors.values() for text in texts)
        )
    try:
        return _act(table, wanted, form.cleaned_data, posted)
    except (IngestionError, WarehouseError) as error:
        return Pressed(trouble=str(error))


def _act(table: Table, wanted: Wanted, entered: dict[str, Any], posted: QueryDict) -> Pressed:
    button = posted.get("act")
    if button == "dry_run":
        return Pressed(tried=dry_run(selection_of(table, wanted), entered["repair"], TRIED))
    if button == "replay":
        run = quarantine_runs.replay(selection_of(table, wanted), entered["repair"])
        return Pressed(f"{run.total:,} messages are being replayed.")
    if button == "discard":
        run = quarantine_runs.discard(selection_of(table, wanted), entered["note"])
        return Pressed(f"{run.total:,} messages are being discarded.")
    run = _run(table, posted.get("run", ""))
    if button == "cancel":
        quarantine_runs.cancel(run)
        return Pressed("It stops after its present chunk.")
    if button == "resume":
        quarantine_runs.resume(run)
        return Pressed("It goes on.")
    return Pressed(trouble="There is no such button.")


def _run(table: Table, text: str) -> QuarantineRun:
    is_key = text.isascii() and text.isdigit() and len(text) < 19
    run = table.quarantine_runs.filter(pk=text).first() if is_key else None
    if run is None:
        raise RunRefused("There is no such run.")
    return run


def context(table: Table, form: MendForm, outcome: Pressed, *, may_mend: bool) -> dict[str, Any]:
    """The context of ``millrace/quarantine_mend.html``."""
    runs = table.quarantine_runs.select_related("source")[:LISTED]
    return {
        "may_mend": may_mend,
        "mend_form": form,
        "tried": outcome.tried,
        "refused": outcome.trouble,
        "runs": [(run, run.goes_on, run.can_resume) for run in runs],
    }
