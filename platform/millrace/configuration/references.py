"""Resolves references to values in the environment or in a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.conf import settings

from millrace.embedded import service_urls


class Missing(Exception):
    """The variable or file that a reference names is missing; the message says which."""


def resolve(value: Any, folder: Path) -> str:
    """The text of a value or reference. Paths are relative to ``folder``. Raises Missing."""
    if not isinstance(value, dict):
        return str(value)
    if "file" in value:
        return _from_file(folder / value["file"])
    name = value["env"]
    text = os.environ.get(name) or _embedded(name) or value.get("default")
    if text is None:
        raise Missing(f"The environment variable {name} is not set. Set it and apply again.")
    return str(text)


def _from_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise Missing(f"{path} can't be read: {error}.") from error


def _embedded(name: str) -> str | None:
    """The address or login of an embedded broker, if this installation has embedded services."""
    return service_urls.brokers().get(name) if settings.EMBEDDED_SERVICES else None
