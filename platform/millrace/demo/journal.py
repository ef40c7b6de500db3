"""What the demo remembers between runs, in one file that only its owner can read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from millrace.embedded import files


class Journal:
    """A small JSON object in ``demo.json``; each change is durable when ``put`` returns."""

    def __init__(self, home: Path) -> None:
        self._path = home / "demo.json"

    def get(self, key: str, default: Any = None) -> Any:
        return files.read_json(self._path).get(key, default)

    def put(self, **values: Any) -> None:
        with files.locked(self._path.with_suffix(".lock")):
            files.write_json(self._path, files.read_json(self._path) | values)
