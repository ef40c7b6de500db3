"""The ledger: which messages were received, and where they are; table and broker prove it.

For each batch: received = inserted + deduplicated + quarantined + filtered + discarded.
"""
