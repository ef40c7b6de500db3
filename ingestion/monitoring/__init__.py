"""The health of sources: lag, freshness, throughput, errors, and the quarantine limit."""
