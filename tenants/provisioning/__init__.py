"""Bringing a tenant's warehouse to what its row asks for; ``warehouse`` has the statements."""
