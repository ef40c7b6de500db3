"""Everything that changes tenants. Views, admin and commands call services and decide nothing."""
