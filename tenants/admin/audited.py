"""Records what people do on admin pages in the audit log, beside Django's own history."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from tenants.audit import record_once
from tenants.models import Tenant

if TYPE_CHECKING:
    from tenants.admin.typed import ModelAdmin as _Mixed
else:
    _Mixed = object

#: The short names of models in actions, such as ``key.revoke``.
_NOUNS = {"apikey": "key", "savedquery": "query", "membership": "member"}


def noun(model: type[Model]) -> str:
    name = model._meta.model_name or ""
    return _NOUNS.get(name, name)


class Audited(_Mixed):
    """A mixin that must come before ModelAdmin among the base classes.

    ``tenant_path`` is the look-up from an object to its tenant; empty if objects have no tenant.
    """

    tenant_path: ClassVar[str] = "tenant"

    def tenant_of(self, obj: Any) -> Tenant | None:
        """The tenant that an object belongs to; None for objects of the installation."""
        for name in self.tenant_path.split("__") if self.tenant_path not in {"", "pk"} else ():
            obj = getattr(obj, name, None)
        return obj if isinstance(obj, Tenant) else None

    def audit(self, verb: str, obj: Model, detail: dict[str, object] | None = None) -> None:
        action = f"{noun(type(obj))}.{verb}"
        record_once(action, obj, tenant=self.tenant_of(obj), detail=detail)

    # --- Django's hooks -------------------------------------------------------------------------

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        self.audit("create", obj, _changes(message))
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        if message:
            self.audit("change", obj, _changes(message))
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Iterable[Any]) -> Any:
        rows = list(queryset)
        for obj in rows:
            self.audit("delete", obj)
        return super().log_deletions(request, rows)  # type: ignore[arg-type]

    def log_act(self, request: HttpRequest, obj: Any, verb: str, label: str) -> None:
        """Record that a button, or another page of the object, was used."""
        self.audit(verb, obj, {"said": label})
        super().log_change(request, obj, label)

    # --- Actions on lists -----------------------------------------------------------------------

    def get_actions(self, request: HttpRequest) -> Any:
        actions: dict[str, Any] = super().get_actions(request)
        for name, (run, _, label) in actions.items():
            if name != "delete_selected":  # log_deletions records that one
                actions[name] = (self._audited(run, name), name, label)
        return actions

    def _audited(self, run: Callable[..., Any], name: str) -> Callable[..., Any]:
        def act(modeladmin: Any, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
            rows = list(queryset)
            if not all(self.has_change_permission(request, obj) for obj in rows):
                raise PermissionDenied
            response = run(modeladmin, request, queryset)
            for obj in rows:
                self.audit(name, obj, {"list": len(rows)})
            return response

        return act


def _changes(message: Any) -> dict[str, object]:
    """What changed, according to Django's message: names of fields, never their values."""
    if isinstance(message, str):
        try:
            message = json.loads(message)
        except ValueError:
            return {"said": message}
    changed: list[object] = []
    related: list[object] = []
    for part in message if isinstance(message, list) else []:
        for verb, what in part.items():
            if "object" in what:
                related.append({verb: f"{what['name']} {what['object']}", **_fields(what)})
            else:
                changed += what.get("fields", [])
    return {key: value for key, value in (("changed", changed), ("related", related)) if value}


def _fields(what: dict[str, Any]) -> dict[str, object]:
    return {"fields": what["fields"]} if what.get("fields") else {}
