"""The WSGI entry point: ``granian --interface wsgi millrace.wsgi:application``."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "millrace.settings")

application = get_wsgi_application()

# Imported after Django is set up, because they read its settings.
from millrace.requests import lighten  # noqa: E402
from tenants.usage import call_tally  # noqa: E402

lighten()
call_tally.start()
