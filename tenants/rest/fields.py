"""Serializer fields that accept only JSON of their own type, as the API description says.

DRF's own fields convert: 7 to "7", "7" to 7, and "yes" to true.
"""

from __future__ import annotations

from typing import Any

from django.core.validators import ProhibitNullCharactersValidator
from rest_framework import serializers


class Text(serializers.CharField):
    """A string, exactly as sent: leading and trailing blanks stay."""

    default_error_messages = {"invalid": "Send a string."}

    def __init__(self, **options: Any) -> None:
        super().__init__(trim_whitespace=False, **options)
        # The OpenAPI description can't exclude \0, so the code that uses the text refuses it.
        self.validators = [
            validator
            for validator in self.validators
            if not isinstance(validator, ProhibitNullCharactersValidator)
        ]

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Whole(serializers.IntegerField):
    """A whole number; 7.0 counts as 7."""

    def to_internal_value(self, data: Any) -> int:
        is_whole = isinstance(data, int) or (isinstance(data, float) and data.is_integer())
        if isinstance(data, bool) or not is_whole:
            self.fail("invalid")
        return int(data)


class Flag(serializers.BooleanField):
    """``true`` or ``false``."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return bool(data)
