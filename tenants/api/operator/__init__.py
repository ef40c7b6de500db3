"""The operators' API: ``/api/v1/tenants…``, for keys that belong to no tenant."""
