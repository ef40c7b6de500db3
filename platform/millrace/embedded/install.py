"""Prepares an installation before its processes start: migrations and the administrator."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from millrace.embedded import installation_secrets, service_urls
from millrace.embedded.errors import DidNotStart

ADMIN = "admin"


def install(home: Path) -> None:
    """Migrate and create the administrator, in a separate process. Raises DidNotStart."""
    done = subprocess.run(
        [sys.executable, "-m", "millrace.embedded.install"],
        env={**os.environ, "MILLRACE_HOME": str(home)},
        cwd=service_urls.project() or home,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise DidNotStart(f"The migrations failed:\n{done.stderr.strip()}")


def main() -> None:
    """Migrate in this process, with the home folder and services that the environment names."""
    import django
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "millrace.settings")
    django.setup()
    from django.conf import settings

    # WhiteNoise warns if this folder is missing, even though it finds the apps' files by itself.
    Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)
    call_command("migrate", interactive=False, verbosity=0)
    users = get_user_model()
    # An administrator who has changed the password keeps it.
    if not users.objects.filter(username=ADMIN).exists():
        password = installation_secrets.read(service_urls.home())["admin"]
        users.objects.create_superuser(username=ADMIN, password=password)


if __name__ == "__main__":
    main()
