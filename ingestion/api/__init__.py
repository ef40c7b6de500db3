"""The events endpoint: what a tenant's own programs send, taken safely and landed soon after."""
