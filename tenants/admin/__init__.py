"""Admin pages of tenants, their people, keys and warehouses."""

from tenants.admin import audit, key, membership, plan, tenant, usage, user, warehouse

__all__ = ["audit", "key", "membership", "plan", "tenant", "usage", "user", "warehouse"]
