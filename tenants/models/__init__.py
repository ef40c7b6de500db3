"""Models of tenants, their members, keys, plans, usage and warehouses, and of the audit log."""

from tenants.models.audit import AppendOnly, AuditEntry
from tenants.models.key import DEFAULT_SCOPES, APIKey, Scope
from tenants.models.operator import OperatorKey
from tenants.models.plan import LIMITS, IngestionHold, Plan
from tenants.models.provisioned import Provisioned, ProvisionState
from tenants.models.tenant import Membership, Role, Tenant, TenantStatus, slug_validator
from tenants.models.usage import Usage, UsageFlush
from tenants.models.warehouse import Warehouse

__all__ = [
    "DEFAULT_SCOPES",
    "LIMITS",
    "APIKey",
    "AppendOnly",
    "AuditEntry",
    "IngestionHold",
    "Membership",
    "OperatorKey",
    "Plan",
    "ProvisionState",
    "Provisioned",
    "Role",
    "Scope",
    "Tenant",
    "TenantStatus",
    "Usage",
    "UsageFlush",
    "Warehouse",
    "slug_validator",
]
