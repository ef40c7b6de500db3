"""What the members of a tenant may do there, by their role.

The operator (a superuser) may do everything, and alone makes tenants, users, groups, shared
connections and whatever is not named here.
"""

from __future__ import annotations

from typing import Any, Final

from django.db.models import Model

from tenants.models import Membership, Role, Tenant
from tenants.scoping import ScopedManager

_RANK: Final = {Role.VIEWER: 0, Role.EDITOR: 1, Role.OWNER: 2}

_SEEN_BY_ALL = (
    *("tenants.tenant", "tenants.warehouse", "tenants.usage"),
    *("ingestion.connection", "ingestion.table", "ingestion.column", "ingestion.source"),
    *("ingestion.streampartition", "ingestion.batch", "ingestion.foldedbatches", "ingestion.gap"),
    *("ingestion.backfill", "analytics_api.savedquery", "analytics_api.savedqueryversion"),
)
_MADE_BY_EDITORS = (
    *("ingestion.connection", "ingestion.table", "ingestion.column", "ingestion.source"),
    "analytics_api.savedquery",
)
_SEEN_BY_OWNERS = ("tenants.apikey", "tenants.membership", "tenants.auditentry")
_MADE_BY_OWNERS = ("tenants.apikey", "tenants.membership")

#: (model, verb): the least role that may do it; what is missing is the operator's.
RULES: Final[dict[tuple[str, str], Role]] = {
    **{(label, "view"): Role.VIEWER for label in _SEEN_BY_ALL},
    **{(label, "view"): Role.OWNER for label in _SEEN_BY_OWNERS},
    **{
        (label, verb): role
        for labels, role in ((_MADE_BY_EDITORS, Role.EDITOR), (_MADE_BY_OWNERS, Role.OWNER))
        for label in labels
        for verb in ("add", "change", "delete")
    },
}


def roles_of(user: Any) -> dict[int, Role]:
    """Role by tenant's number. Asked once for each user object, so once a request."""
    if not (user.is_active and user.is_staff and user.pk):
        return {}
    known: dict[int, Role] | None = user.__dict__.get("_tenant_roles")
    if known is None:
        rows = Membership.across_tenants.filter(user=user.pk).values_list("tenant_id", "role")
        known = user.__dict__["_tenant_roles"] = {pk: Role(role) for pk, role in rows}
    return known


def tenants_where(user: Any, model: type[Model], verb: str) -> list[int]:
    """Numbers of the tenants in which a member may do ``verb`` to objects of ``model``."""
    least = RULES.get((model._meta.label_lower, verb))
    if least is None:
        return []
    return [pk for pk, role in roles_of(user).items() if _RANK[role] >= _RANK[least]]


def may(user: Any, model: type[Model], verb: str, obj: Model | None = None) -> bool:
    """Whether a member may do it: to ``obj``, or without one in any of their tenants."""
    tenants = tenants_where(user, model, verb)
    return bool(tenants) if obj is None else tenant_id_of(obj) in tenants


def tenant_id_of(obj: Any) -> int | None:
    """Number of the tenant that an object is of; None for one that is of none."""
    if isinstance(obj, Tenant):
        return obj.pk
    manager = getattr(type(obj), "objects", None)
    if not isinstance(manager, ScopedManager):
        return None
    *way, last = manager.path.split("__")
    for name in way:
        obj = getattr(obj, name)
    found: int | None = getattr(obj, f"{last}_id")
    return found
