"""Loading history: files into a table, by the same typing and quarantine as streams, in chunks."""
