"""An API key for each of the demo's tenants, the same at every run.

Millrace stores only a key's SHA-256, so the demo keeps the keys that it created in its journal.
"""

from __future__ import annotations

from django.utils import timezone

from millrace.demo.journal import Journal
from tenants.key_format import parse
from tenants.models import APIKey, Tenant
from tenants.services.keys import create_key


def keys(journal: Journal, slugs: list[str]) -> dict[str, str]:
    """The keys by tenant. A key that was revoked, or is not in the journal, is created anew."""
    known: dict[str, str] = journal.get("keys", {})
    usable = {slug: _usable(known.get(slug, ""), slug) or _new(slug) for slug in slugs}
    if usable != known:
        journal.put(keys=usable)
    return usable


def _usable(text: str, slug: str) -> str:
    parsed = parse(text)
    if parsed is None:
        return ""
    row = APIKey.objects.filter(prefix=parsed.prefix, tenant__slug=slug).first()
    return text if row is not None and row.is_usable(timezone.now()) else ""


def _new(slug: str) -> str:
    return create_key(Tenant.objects.get(slug=slug), "demo")[1]
