"""Plans: what a tenant may use, and the limits as they are enforced."""
