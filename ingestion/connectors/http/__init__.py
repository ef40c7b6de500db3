"""Events sent to Millrace itself: the endpoint spools them in Postgres, and this reads the spool."""
