"""Millrace: multi-tenant live analytics, self-hosted. This package runs the whole."""
