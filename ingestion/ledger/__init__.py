"""The ledger: what was received, and where it is. It is proven against the table and the broker.

Of every batch: received = inserted + deduplicated + quarantined.
"""
