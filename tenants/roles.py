"""What members may do in their tenant, by role.

Operators (superusers) may do everything. Only they can create tenants, users, groups, shared
connections and everything else that is not listed here.
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
    *(
        "ingestion.backfill",
        "ingestion.backfillrun",
        "analytics_api.savedquery",
        "analytics_api.savedqueryversion",
    ),
)
_MADE_BY_EDITORS = (
    *("ingestion.connection", "ingestion.table", "ingestion.column", "ingestion.source"),
    *("ingestion.backfillrun", "analytics_api.savedquery"),
)
_SEEN_BY_OWNERS = ("tenants.apikey", "tenants.membership", "tenants.auditentry")
_MADE_BY_OWNERS = ("tenants.apikey", "tenants.membership")

#: (model, verb): the lowest role that may do it. Only operators may do what is missing here.
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
    """The user's role by tenant id. Cached on the user object, so read once per request."""
    if not (user.is_active and user.is_staff and user.pk):
        return {}
    known: dict[int, Role] | None = user.__dict__.get("_tenant_roles")
    if known is None:
        rows = Membership.across_tenants.filter(user=user.pk).values_list("tenant_id", "role")
        known = user.__dict__["_tenant_roles"] = {pk: Role(role) for pk, role in rows}
    return known


def tenants_where(user: Any, model: type[Model], verb: str) -> list[int]:
    """Ids of the tenants in which a member may do ``verb`` to objects of ``model``."""
    least = RULES.get((model._meta.label_lower, verb))
    if least is None:
        return []
    return [pk for pk, role in roles_of(user).items() if _RANK[role] >= _RANK[least]]


def may(user: Any, model: type[Model], verb: str, obj: Model | None = None) -> bool:
    """Whether a member may do ``verb`` to ``obj``; without ``obj``, in any of their tenants."""
    tenants = tenants_where(user, model, verb)
    return bool(tenants) if obj is None else tenant_id_of(obj) in tenants


def tenant_id_of(obj: Any) -> int | None:
    """The id of the tenant that an object belongs to; None if it belongs to none."""
    if isinstance(obj, Tenant):
        return obj.pk
    manager = getattr(type(obj), "objects", None)
    if not isinstance(manager, ScopedManager):
        return None
    *way, last = manager.path.split("__")
    for name in way:
        obj = getattr(obj, name)
    tenant_id: int | None = getattr(obj, f"{last}_id")
    return tenant_id
