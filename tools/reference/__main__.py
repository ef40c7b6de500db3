"""Write the generated parts of docs/reference: ``python -m tools.reference``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    sys.path.insert(0, str(ROOT / "platform"))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "millrace.settings")
    import django

    django.setup()
    from tools.reference.pages import GENERATED, renewed

    for path in GENERATED:
        path.write_text(renewed(path))


if __name__ == "__main__":
    main()
