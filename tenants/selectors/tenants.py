from __future__ import annotations

from tenants.errors import TenantRefused
from tenants.models import Tenant


def find(slug: str) -> Tenant:
    """The tenant with this slug; raises TenantRefused, which lists the known tenants."""
    tenant = Tenant.objects.filter(slug=slug).first()
    if tenant is None:
        known = ", ".join(Tenant.objects.values_list("slug", flat=True)[:20]) or "none yet"
        msg = f"There is no tenant {slug!r}. Tenants: {known}."
        raise TenantRefused(msg)
    return tenant
