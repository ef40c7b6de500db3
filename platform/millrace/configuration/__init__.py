"""Configuration as code: YAML files that say what tenants, streams, tables and queries there are.

``apply`` brings the database to what files say, ``export`` writes a file of what is there. What a
file does not name is left alone. The form of a file is ``millrace.schema.json``.
"""
