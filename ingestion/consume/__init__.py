"""Consumes streams: reads messages, inserts them in batches, and recovers after a crash."""
