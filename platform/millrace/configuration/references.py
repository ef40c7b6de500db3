"""Values that stand elsewhere: in the environment, or in a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.conf import settings

from millrace.embedded import service_urls


class Missing(Exception):
    """What a reference names is not there; the message says what to do."""


def resolve(value: Any, folder: Path) -> str:
    """The text of a value or reference; files are relative to ``folder``. Raises Missing."""
    if not isinstance(value, dict):
        return str(value)
    if "file" in value:
        return _from_file(folder / value["file"])
    name = value["env"]
    found = os.environ.get(name) or _embedded(name) or value.get("default")
    if found is None:
        raise Missing(f"The environment variable {name} is not set.")
    return str(found)


def _from_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise Missing(f"{path} can't be read: {error}.") from error


def _embedded(name: str) -> str | None:
    """Of an installation on embedded services, the addresses of its own brokers."""
    return service_urls.brokers().get(name) if settings.EMBEDDED_SERVICES else None
