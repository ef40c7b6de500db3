"""Who: tenants, the people of a tenant, its keys, and its warehouse."""

from tenants.models.key import APIKey, Scope
from tenants.models.provisioned import Provisioned, ProvisionState
from tenants.models.tenant import Membership, Role, Tenant, TenantStatus, slug_validator
from tenants.models.warehouse import Warehouse

__all__ = [
    "APIKey",
    "Membership",
    "ProvisionState",
    "Provisioned",
    "Role",
    "Scope",
    "Tenant",
    "TenantStatus",
    "Warehouse",
    "slug_validator",
]
