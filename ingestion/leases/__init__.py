"""Who may read a stream partition: leases, their renewal, and how workers share them."""
