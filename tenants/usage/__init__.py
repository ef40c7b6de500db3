"""Counts the usage of API calls and measures storage. ``selectors.usage`` reads both."""
