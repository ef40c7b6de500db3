"""Writes to saved queries, called by views, the admin and config-as-code."""
