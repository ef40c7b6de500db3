"""Each class that a template of ours uses stands in a stylesheet: Unfold's build has not all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import unfold

ROOT = Path(__file__).resolve().parents[2]
SHEETS = (
    Path(unfold.__file__).parent / "static/unfold/css/styles.css",
    ROOT / "platform/millrace/static/millrace/admin.css",
)
#: Not of a stylesheet, but of Unfold's scripts.
SCRIPTED = {"group"}


@pytest.mark.slow
def test_every_class_of_a_template_is_in_a_stylesheet() -> None:
    css = "".join(sheet.read_text() for sheet in SHEETS)
    pages = [*ROOT.glob("*/templates/millrace/*.html"), ROOT / "tenants/admin/display.py"]
    assert len(pages) > 10
    missing = set()
    for page in pages:
        text = re.sub(r"{%.*?%}|{{.*?}}|{}", " ", page.read_text())
        for names in re.findall(r'(?<![:\w-])class="([^"]*)"', text):
            for name in set(names.split()) - SCRIPTED:
                if "." + re.sub(r"([^\w-])", r"\\\1", name) not in css:
                    missing.add((page.name, name))
    assert missing == set()
