"""Loads history from files into a table, in chunks, with the typing and quarantine of streams."""
