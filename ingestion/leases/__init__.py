"""Leases on stream partitions: taking, renewing and releasing them, and sharing by processes."""
