"""Reads about tenants: callers by key, tenants by slug, and usage. Selectors decide nothing."""
