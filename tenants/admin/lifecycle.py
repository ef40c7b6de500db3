"""Forms and context of a tenant's pages that erase one person's rows and delete the tenant."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import QueryDict

from tenants.errors import LifecycleError
from tenants.lifecycle.delete import DeleteReport, delete, preview
from tenants.lifecycle.erase import EraseReport, erase
from tenants.models import Tenant
from tenants.warehouse.errors import WarehouseError

_CLASS = (
    "border border-base-200 bg-white rounded-default px-3 py-2 w-full "
    "dark:bg-base-900 dark:border-base-700"
)


def _text(**attributes: str) -> forms.TextInput:
    return forms.TextInput(attrs={"class": _CLASS, "autocomplete": "off", **attributes})


class EraseForm(forms.Form):
    """Whose rows to erase."""

    column = forms.CharField(
        max_length=200,
        widget=_text(placeholder="user_id"),
        help_text="The column that identifies a person.",
    )
    value = forms.CharField(
        max_length=10_000,
        strip=False,
        widget=_text(),
        help_text="The person's value in that column.",
    )
    table = forms.CharField(
        max_length=63,
        required=False,
        widget=_text(),
        help_text="Only this table, its quarantine and its rollups. Empty: all tables with the "
        "column.",
    )


class DeleteForm(forms.Form):
    """The slug must be typed, so that nobody deletes a tenant by a click."""

    confirmation = forms.CharField(
        max_length=40, widget=_text(), label="Type the tenant's slug to confirm"
    )


def erased(tenant: Tenant, query: QueryDict) -> dict[str, Any]:
    """Context of ``millrace/tenant_erase.html``: the form and, once filled in, the report."""
    if "column" not in query:
        return {"form": EraseForm()}
    form = EraseForm(query)
    if not form.is_valid():
        return {"form": form}
    data, is_preview = form.cleaned_data, query.get("do") != "erase"
    try:
        report: EraseReport = erase(
            tenant, data["column"], data["value"], table=data["table"], preview=is_preview
        )
    except (LifecycleError, WarehouseError) as error:
        return {"form": form, "trouble": str(error)}
    return {"form": form, "report": report}


def to_delete(tenant: Tenant) -> dict[str, Any]:
    """Context of ``millrace/tenant_delete.html``: the form and what would be deleted."""
    try:
        return {"form": DeleteForm(), "report": preview(tenant.slug)}
    except (LifecycleError, WarehouseError) as error:
        return {"form": DeleteForm(), "trouble": str(error)}


def deleted(tenant: Tenant, data: QueryDict) -> dict[str, Any]:
    """The context of the same page after an attempt to delete: ``done`` is the report."""
    try:
        report: DeleteReport = delete(tenant.slug, data.get("confirmation", "").strip())
    except (LifecycleError, WarehouseError) as error:
        return to_delete(tenant) | {"trouble": str(error)}
    return {"done": report, "report": report}
