"""Finds the services that this machine must run itself: those whose URL is not set."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from environ import Env

from millrace.embedded import service_urls, stack


def environment() -> Mapping[str, str]:
    """The environment plus the variables of the ``.env`` file, read as the settings read it."""
    project = service_urls.project()
    default = str(project / ".env") if project else ""
    file = Path(os.environ.get("MILLRACE_ENV_FILE", default))
    if file.is_file():
        Env.read_env(file)
    return os.environ


def services(variables: Mapping[str, str]) -> tuple[str, ...]:
    """The embedded services to run, because ``variables`` does not set their URL."""
    missing = {name for url, name in service_urls.SERVICE_OF.items() if not variables.get(url)}
    return tuple(name for name in stack.SERVICES if name in missing)
