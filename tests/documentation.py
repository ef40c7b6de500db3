"""README and the pages of docs/, in the order in which a reader of the site meets them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"


def pages() -> list[Path]:
    """The pages in the order of the site's navigation."""
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    return [ROOT / "docs" / name for name in _names(settings["nav"])]


def text() -> str:
    """README and all pages."""
    return "\n".join(path.read_text() for path in (README, *pages()))


def blocks(mark: str) -> list[str]:
    """The shell blocks behind ``<!-- mark -->``, in reading order."""
    return re.findall(rf"<!-- {re.escape(mark)} -->\n```sh\n(.*?)```", text(), re.DOTALL)


def _names(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
        return
    for part in entry.values() if isinstance(entry, dict) else entry:
        yield from _names(part)
