"""The endpoints of tenants and of operators. ``tenants.rest`` has what all endpoints share."""
