"""Which services this machine must run itself: those whose URL is set nowhere."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from environ import Env

from millrace.embedded import service_urls, stack


def environment() -> Mapping[str, str]:
    """The environment, with what the ``.env`` file adds, read as the settings read it."""
    project = service_urls.project()
    default = str(project / ".env") if project else ""
    file = Path(os.environ.get("MILLRACE_ENV_FILE", default))
    if file.is_file():
        Env.read_env(file)
    return os.environ


def services(given: Mapping[str, str]) -> tuple[str, ...]:
    """The embedded services that stand in for a URL which ``given`` does not set."""
    missing = {service for url, service in service_urls.SERVICE_OF.items() if not given.get(url)}
    return tuple(name for name in stack.SERVICES if name in missing)
