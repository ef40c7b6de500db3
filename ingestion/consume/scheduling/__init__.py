"""Policies: which batches are inserted next, and how large they are. No threads, no services."""
