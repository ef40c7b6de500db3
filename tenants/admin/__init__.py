"""Admin pages of tenants, their members, keys, plans, usage and warehouses, and the audit log."""

from tenants.admin import audit, key, membership, plan, tenant, usage, user, warehouse

__all__ = ["audit", "key", "membership", "plan", "tenant", "usage", "user", "warehouse"]
