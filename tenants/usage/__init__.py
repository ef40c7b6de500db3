"""Usage: what tenants have used, counted, written down, measured and read."""
