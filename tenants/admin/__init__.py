"""Admin pages of tenants, their people, keys and warehouses."""

from tenants.admin import key, membership, tenant, user, warehouse

__all__ = ["key", "membership", "tenant", "user", "warehouse"]
