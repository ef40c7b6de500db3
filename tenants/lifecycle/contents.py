"""The rows of this app that go into a tenant's export: no secrets and no hashes of secrets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tenants.audit.entry_formats import as_dict
from tenants.lifecycle import registry
from tenants.models import APIKey, AuditEntry, Membership, Tenant


def register() -> None:
    """Register the rows; called once, when the app is loaded."""
    registry.rows["audit.ndjson"] = _audit
    registry.rows["keys.ndjson"] = _keys
    registry.rows["members.ndjson"] = _members


def _audit(tenant: Tenant) -> Iterable[Mapping[str, Any]]:
    entries = AuditEntry.objects.filter(tenant=tenant).order_by("pk")
    yield from map(as_dict, entries.iterator())


def _keys(tenant: Tenant) -> Iterable[Mapping[str, Any]]:
    shown = ("name", "prefix", "scopes", "created_at", "expires_at", "revoked_at", "last_used_at")
    rows = APIKey.objects.filter(tenant=tenant).order_by("pk")
    yield from rows.values(*shown).iterator()


def _members(tenant: Tenant) -> Iterable[Mapping[str, Any]]:
    rows = Membership.objects.filter(tenant=tenant).order_by("pk")
    yield from rows.values("user__username", "user__email", "role", "created_at").iterator()
