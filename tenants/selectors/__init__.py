"""What is read of tenants: who calls, by which key, and what was used. Nothing here decides."""
