"""Pictures of the pages that tests open, for whoever wants to look at them.

Drawing and writing them takes longer than the tests' own looks at the pages.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

WANTED = bool(os.environ.get("SCREENSHOTS"))
FOLDER = Path(__file__).resolve().parents[1] / "screenshots"


def shoot(page: Page, name: str) -> None:
    """Leave a picture of the whole page, if ``SCREENSHOTS`` asks for pictures."""
    if WANTED:
        FOLDER.mkdir(exist_ok=True)
        page.screenshot(path=FOLDER / f"{name}.png", full_page=True)
