#!/usr/bin/env python
"""Django's command-line utility for administrative tasks."""

from __future__ import annotations

import gc
import os
import sys


def main() -> None:
    """Run administrative tasks."""
    # Loading Django makes many objects and hardly any garbage; a tenth of it went into looking.
    gc.set_threshold(50_000, 20, 20)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "millrace.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError as exc:
        raise ImportError(
            "Couldn't import Django. Are you sure it's installed and available on your "
            "PYTHONPATH environment variable? Did you forget to activate a virtual environment?"
        ) from exc
    from millrace.embedded.errors import EmbeddedError

    try:
        execute_from_command_line(sys.argv)
    except EmbeddedError as error:
        # Of the settings, which need a folder for what they make.
        sys.exit(str(error))


if __name__ == "__main__":
    main()
