"""The books of batches, in Postgres."""
