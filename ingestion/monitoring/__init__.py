"""How sources are: lag, freshness, throughput, errors, and the limit of their quarantine."""
