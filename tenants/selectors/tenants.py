from __future__ import annotations

from tenants.errors import TenantRefused
from tenants.models import Tenant


def find(slug: str) -> Tenant:
    """The tenant of that slug; raises TenantRefused, naming those that there are."""
    tenant = Tenant.objects.filter(slug=slug).first()
    if tenant is None:
        known = ", ".join(Tenant.objects.values_list("slug", flat=True)[:20]) or "none yet"
        msg = f"There is no tenant {slug!r}. Tenants: {known}."
        raise TenantRefused(msg)
    return tenant
