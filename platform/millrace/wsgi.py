"""The WSGI entry point: ``granian --interface wsgi millrace.wsgi:application``."""

from __future__ import annotations

import gc
import os

from django.core.wsgi import get_wsgi_application

# As in manage.py.
gc.set_threshold(50_000, 20, 20)
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "millrace.settings")

application = get_wsgi_application()

# Imported after Django is set up, because they read its settings.
from millrace.requests import lighten  # noqa: E402
from tenants.usage import call_tally  # noqa: E402

lighten()
call_tally.start()
