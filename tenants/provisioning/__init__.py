"""Brings a tenant's warehouse in ClickHouse to the state that its row in Postgres describes."""
