"""Events sent to Millrace itself: the endpoint spools them in Postgres, this reads the spool."""
