"""Enforces plans: admission of API calls and events, holds of ingestion, shares of threads."""
