"""The names that a tenant's objects may have."""

from __future__ import annotations

from django.core.validators import RegexValidator

#: ``__`` is reserved for what Millrace creates beside a table, a leading ``_`` for its own columns.
name_validator = RegexValidator(
    r"^[a-z](?!.*__)[a-z0-9_]{0,62}\Z",
    "Use up to 63 lower-case letters, digits and single underscores. Start with a letter.",
)
stream_name_validator = RegexValidator(
    r"^[a-z][a-z0-9_-]{0,62}\Z",
    "Use up to 63 lower-case letters, digits, underscores and dashes. Start with a letter.",
)
column_name_validator = RegexValidator(
    r"^[A-Za-z][A-Za-z0-9_]{0,62}\Z",
    "Use up to 63 letters, digits and underscores. Start with a letter.",
)
