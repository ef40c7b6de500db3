"""Configuration as code: YAML files that describe tenants, connections, tables, sources, queries.

``apply`` changes the database to match the files; ``export`` writes a file from the database.
Objects that a file does not name are left alone. ``millrace.schema.json`` is the files' schema.
"""
