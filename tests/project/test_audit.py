"""`make audit` tells apart: nothing known, something known, and nobody to ask."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("says", "ends_with", "status", "tells"),
    [
        ("Found no known vulnerabilities", 0, 0, "No known vulnerability"),
        ("django 5.2.0 has GHSA-aaaa-bbbb-cccc: fixed in 5.2.1", 1, 1, "GHSA-aaaa"),
        ("cause: failed to lookup address information", 2, 0, "could not be reached"),
        ("operation timed out", 2, 0, "could not be reached"),
        ("error: unexpected argument '--frozen'", 2, 2, "unexpected argument"),
        ("GHSA-aaaa-bbbb-cccc: tls connect bypass", 1, 1, "GHSA-aaaa"),
    ],
)
def test_each_outcome(says: str, ends_with: int, status: int, tells: str, tmp_path: Path) -> None:
    uv = tmp_path / "uv"
    uv.write_text(f"#!/bin/sh\ncat <<'X'\n{says}\nX\nexit {ends_with}\n")
    uv.chmod(0o755)
    done = subprocess.run(
        ["sh", "tools/audit.sh", str(uv)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == status
    assert tells in done.stdout + done.stderr
    assert len((done.stdout + done.stderr).splitlines()) == 1
