"""What can be done with tenants. Views, admin and commands call these, and decide nothing."""
