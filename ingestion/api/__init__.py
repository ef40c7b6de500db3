"""The REST API of ingestion: the events endpoint, and managing sources, tables and connections."""
