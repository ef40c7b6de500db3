"""The ASGI entry point: ``granian --interface asgi millrace.asgi:application``."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "millrace.settings")

application = get_asgi_application()

# After Django: its models need the settings.
from tenants.usage import tally  # noqa: E402

tally.start()
