"""The operators' API, ``/api/v1/tenants…``. It needs an operator's key, which has no tenant."""
