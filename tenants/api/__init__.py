"""The endpoints of tenants and of operators. What all endpoints share is ``tenants.rest``."""
