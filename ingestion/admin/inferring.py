"""The page that proposes a table from a sample, and the proposal on the form of a new table.

The proposal waits in the user's session, so no other user and no other tenant can see it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from ingestion.backfill.errors import BackfillError
from ingestion.ddl import SpecError
from ingestion.errors import IngestionError
from ingestion.inference.file_sample import of_stream
from ingestion.inference.proposal import LeftOut, Proposal, ProposedColumn, propose
from ingestion.inference.sample import Sample
from ingestion.inference.stream_sample import of_source, of_stream_on
from ingestion.models import Connection, Source, Table
from ingestion.models.names import name_validator
from tenants import roles
from tenants.admin.scope import is_operator
from tenants.models import Tenant
from tenants.warehouse.errors import WarehouseError

_KEY = "proposed_table"
#: The most columns on the form: a request has a limit of fields.
_COLUMNS = 150
#: The most characters of a pasted sample; a larger one is for the command.
_PASTED = 1_000_000


class InferForm(forms.Form):
    """Which sample, and what the table is to be called."""

    tenant = forms.ModelChoiceField(Tenant.objects.none(), widget=UnfoldAdminSelectWidget)
    name = forms.CharField(
        max_length=63,
        validators=[name_validator],
        widget=UnfoldAdminTextInputWidget,
        label="Name of the table",
    )
    connection = forms.ModelChoiceField(
        Connection.objects.none(),
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text="A live stream: the connection, and below its topic or queue. Nothing is "
        "acknowledged.",
    )
    stream = forms.CharField(
        max_length=249, required=False, widget=UnfoldAdminTextInputWidget, label="Topic or queue"
    )
    source = forms.ModelChoiceField(
        Source.objects.none(),
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text="Or the stream of a source.",
    )
    sample = forms.CharField(
        max_length=_PASTED,
        required=False,
        strip=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 6, "spellcheck": "false"}),
        help_text="Or messages, pasted: one JSON object a line, an array, or CSV with a header.",
    )

    def __init__(self, user: Any, data: Any = None) -> None:
        super().__init__(data)
        tenants = Tenant.objects.order_by("slug")
        sources, connections = Source.objects.all(), Connection.objects.all()
        if not is_operator(user):
            # A shared connection has other tenants' streams, so only the operator chooses them.
            allowed = roles.tenants_where(user, Table, "add")
            tenants = tenants.filter(pk__in=allowed)
            sources = sources.filter(tenant__in=allowed)
            connections = connections.filter(tenant__in=allowed)
        choices: dict[str, Any] = {
            "tenant": tenants,
            "source": sources.select_related("tenant", "connection", "table"),
            "connection": connections.select_related("tenant"),
        }
        for field, rows in choices.items():
            self.fields[field].queryset = rows  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        ways = [cleaned.get(name) for name in ("connection", "source", "sample")]
        if sum(bool(way) for way in ways) != 1:
            msg = "Choose one sample: a connection with its topic or queue, a source, or messages."
            raise ValidationError(msg)
        if bool(cleaned.get("connection")) != bool(cleaned.get("stream")):
            self.add_error("stream", "Choose a connection and enter its topic or queue.")
        for name in ("connection", "source"):
            owner = getattr(cleaned.get(name), "tenant", None)
            if owner and cleaned.get("tenant") and owner != cleaned["tenant"]:
                self.add_error(name, f"It belongs to {owner}. Choose one of the table's tenant.")
        return cleaned

    def proposal(self) -> Proposal | None:
        """The proposal; None if there is none, and the form says why."""
        try:
            with self._sample() as sample:
                return propose(sample)
        except (BackfillError, IngestionError, SpecError, WarehouseError) as error:
            self.add_error(None, str(error))
            return None

    @contextmanager
    def _sample(self) -> Iterator[Sample]:
        chosen = self.cleaned_data
        if chosen["sample"]:
            with of_stream(io.BytesIO(chosen["sample"].encode())) as sample:
                yield sample
        elif chosen["source"]:
            yield of_source(chosen["source"])
        else:
            yield of_stream_on(chosen["connection"], chosen["stream"], chosen["tenant"])


def keep(request: HttpRequest, form: InferForm, proposal: Proposal) -> None:
    """Keep the proposal for the form of a new table; an earlier one is forgotten."""
    columns, beyond = proposal.columns[:_COLUMNS], proposal.columns[_COLUMNS:]
    request.session[_KEY] = {
        "table": {
            "tenant": form.cleaned_data["tenant"].pk,
            "name": form.cleaned_data["name"],
            "sorting_key": list(proposal.sorting_key),
            "partition_key": proposal.partition_key,
        },
        "columns": [asdict(column.spec) for column in columns],
        "evidence": [_row(column, proposal.objects) for column in columns],
        "left_out": [
            *map(_left_out, proposal.left_out),
            *(_beyond(column) for column in beyond),
        ],
        "messages": proposal.messages,
        "objects": proposal.objects,
        "others": dict(proposal.others),
    }


def kept(request: HttpRequest) -> Mapping[str, Any] | None:
    """The proposal that the address asks for; None on any other page."""
    if request.method != "GET" or "proposed" not in request.GET:
        return None
    proposal: Mapping[str, Any] | None = request.session.get(_KEY)
    return proposal


def forget(request: HttpRequest) -> None:
    """Forget the proposal, which has examples of messages."""
    request.session.pop(_KEY, None)


def _row(column: ProposedColumn, objects: int) -> dict[str, Any]:
    shown = column.evidence
    return {
        "name": column.spec.name,
        "share": f"{100 * (shown.present - shown.nulls) / max(1, objects):.0f} %",
        "distinct": shown.distinct,
        "smallest": shown.smallest,
        "largest": shown.largest,
        "examples": ", ".join(shown.examples),
        "note": column.note,
    }


def _left_out(one: LeftOut) -> dict[str, str]:
    return {"path": one.path, "why": one.why, "examples": ", ".join(one.evidence.examples)}


def _beyond(column: ProposedColumn) -> dict[str, str]:
    why = f"This form has {_COLUMNS} columns at most. manage.py infer proposes more."
    return {"path": column.spec.path or column.spec.name, "why": why, "examples": ""}
