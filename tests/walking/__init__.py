"""Walks every page of the admin as somebody who must see nothing of one of the tenants."""
