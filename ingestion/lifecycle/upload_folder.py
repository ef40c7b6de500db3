"""Deletes the files that a tenant has uploaded."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from ingestion.backfill.uploads import folder_of
from tenants.lifecycle.registry import Doomed


class Uploads:
    """A tenant's folder of uploads."""

    name = "Uploads"

    def settle(self, doomed: Doomed) -> None:
        """Nothing to wait for: runs stop at the end of their chunk, and only read uploads."""

    def count(self, doomed: Doomed) -> Mapping[str, int]:
        """How many uploads there are."""
        return {"uploads": len(_files(folder_of(doomed.slug)))}

    def remove(self, doomed: Doomed) -> list[str]:
        """Remove the folder."""
        shutil.rmtree(folder_of(doomed.slug), ignore_errors=True)
        return []


def _files(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []
