"""Consuming: leases, batches with intents, the insert into the inbox, and what follows a crash."""
