"""ClickHouse access: the platform's client, its errors, quoting, and the DDL of a warehouse."""
