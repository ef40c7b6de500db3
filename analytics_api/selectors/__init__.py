"""Reads of saved queries, for endpoints and for the authors' admin pages."""
