"""The warehouse: a tenant's ClickHouse database, its user, grants and limits."""
