from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.utils.safestring import SafeString

from tenants.admin import display
from tenants.admin.base import ActRefused, Button, ReadOnlyAdmin
from tenants.models import Warehouse
from tenants.services.warehouses import retry_warehouse, rotate_warehouse_password
from tenants.warehouse.errors import WarehouseError


def _retry(warehouse: Warehouse) -> str:
    retry_warehouse(warehouse)
    return f"{warehouse} is being applied again. Its state shows the outcome."


def _rotate(warehouse: Warehouse) -> str:
    try:
        rotate_warehouse_password(warehouse)
    except WarehouseError as error:
        msg = f"The password was not changed. {error}"
        raise ActRefused(msg) from error
    return f"The password of {warehouse} was changed. The old one works for some seconds more."


@admin.register(Warehouse)
class WarehouseAdmin(ReadOnlyAdmin):
    intro = (
        "A tenant's ClickHouse database and the user that can read only it. It is created with the "
        "tenant. Millrace retries failures by itself; its button “Apply again now” retries at once."
    )
    buttons = (
        Button("retry", "Apply again now", "refresh", _retry),
        Button(
            "rotate",
            "Give its user a new password",
            "key",
            _rotate,
            lambda warehouse: warehouse.applied,
        ),
    )
    list_display = ("database", "tenant", "state_badge", "attempts", "error_line")
    list_filter: ClassVar[Any] = ("state",)
    list_select_related = ("tenant",)
    search_fields = ("database", "tenant__slug", "tenant__name")
    fields = ("tenant", "database", "username")

    def head(self, request: Any, obj: Any) -> dict[str, Any]:
        return {
            "facts": [
                ("State", display.provision_badge(obj.state)),
                ("Attempts since the last success", display.number(obj.attempts)),
                ("Next attempt", display.ago(obj.retry_at) if obj.error else display.DASH),
            ],
            "trouble": obj.error,
        }

    @admin.display(description="State", ordering="state")
    def state_badge(self, warehouse: Warehouse) -> SafeString:
        return display.provision_badge(warehouse.state, warehouse.error)

    @admin.display(description="Last error")
    def error_line(self, warehouse: Warehouse) -> SafeString:
        return display.trouble(warehouse.error)
