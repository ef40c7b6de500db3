"""Reads the events sent to Millrace over HTTP, which the endpoint spools in Postgres."""
