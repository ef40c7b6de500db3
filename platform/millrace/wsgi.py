"""The WSGI entry point: ``granian --interface wsgi millrace.wsgi:application``."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "millrace.settings")

application = get_wsgi_application()
