"""The generated pages, the function that generates each, and where the generated part begins."""

from __future__ import annotations

from pathlib import Path

from tools.reference import api, column_types, commands, errors, formats, metrics, yaml_files

ROOT = Path(__file__).resolve().parents[2]
#: Below this line a page is generated.
MARK = "<!-- What follows is written by `make reference`: change the code, not this page. -->"
_FOLDER = ROOT / "docs" / "reference"
GENERATED = {
    _FOLDER / "api.md": api.page,
    _FOLDER / "column-types.md": column_types.page,
    _FOLDER / "commands.md": commands.page,
    _FOLDER / "errors.md": errors.page,
    _FOLDER / "metrics.md": metrics.page,
    _FOLDER / "result-formats.md": formats.page,
    _FOLDER / "yaml.md": yaml_files.page,
}


def renewed(path: Path) -> str:
    """The page with its hand-written part unchanged and its generated part up to date."""
    by_hand, mark, _ = path.read_text().partition(MARK)
    if not mark:
        msg = f"{path} lacks the line that begins its generated part: {MARK}"
        raise ValueError(msg)
    return f"{by_hand}{MARK}\n\n{GENERATED[path]()}\n"
