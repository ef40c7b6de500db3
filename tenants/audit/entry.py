"""Writes entries of the audit log."""

from __future__ import annotations

from typing import Any

from django.db.models import Model

from tenants.audit.actor import Actor, current_actor, told
from tenants.audit.secrets import without_secrets
from tenants.models import AuditEntry, Tenant

_NAME = 200
_ACTION = 60


def record(
    action: str,
    target: Model | None,
    *,
    tenant: Tenant | None,
    actor: Actor | None = None,
    detail: dict[str, object] | None = None,
) -> AuditEntry:
    """Record that ``actor`` did ``action``, such as "key.rotate", to ``target``.

    The entry is part of the caller's transaction. ``actor`` defaults to the user or key of the
    current request, or the running command. ``detail`` may be any JSON; secrets in it are replaced.
    """
    actor = actor or current_actor()
    entry = AuditEntry(
        tenant_id=tenant.pk if tenant else None,
        tenant_slug=tenant.slug if tenant else "",
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_name=actor.name[:_NAME],
        address=actor.address,
        action=action[:_ACTION],
        object_type=target._meta.label_lower if target is not None else "",
        object_id="" if target is None or target.pk is None else str(target.pk),
        object_name=str(without_secrets(str(target), target))[:_NAME] if target else "",
        detail=without_secrets(detail or {}, target),
    )
    entry.save(force_insert=True)
    told().add(_key(action, target))
    return entry


def record_once(action: str, target: Model, **more: Any) -> None:
    """Record it, unless a service that the same request or command called already has."""
    if _key(action, target) not in told():
        record(action, target, **more)


def _key(action: str, target: Model | None) -> tuple[str, str, str]:
    return (action, target._meta.label_lower, str(target.pk)) if target else (action, "", "")
