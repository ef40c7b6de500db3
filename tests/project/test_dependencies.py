"""Each package that code imports is declared in pyproject.toml, where that code is installed.

A package that only another one brings along is gone when that other one drops it.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OWN = {"millrace", "tenants", "ingestion", "analytics_api", "bench", "tests", "tools"}
EMBEDDED = Path("platform/millrace/embedded")
PRODUCT = ("platform/millrace", "tenants", "ingestion", "analytics_api")

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
GROUPS = PYPROJECT["dependency-groups"]
BASE = PROJECT["dependencies"]
WITH_EMBEDDED = [*BASE, *PROJECT["optional-dependencies"]["embedded"]]
DISTRIBUTIONS = packages_distributions()


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(requirements: Iterable[str]) -> set[str]:
    return {canonical(re.split(r"[^\w.-]", requirement)[0]) for requirement in requirements}


def imported(path: Path) -> Iterator[str]:
    """The top-level modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def undeclared(path: Path, requirements: Iterable[str]) -> set[str]:
    """Third-party modules that a file imports and none of the requirements provides."""
    names = declared(requirements)
    foreign = set(imported(path)) - OWN - set(sys.stdlib_module_names)
    # A module that no distribution provides is a helper beside the tests.
    return {
        module
        for module in foreign & DISTRIBUTIONS.keys()
        if not names & {canonical(distribution) for distribution in DISTRIBUTIONS[module]}
    }


def modules(folders: Iterable[str]) -> Iterator[Path]:
    return (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))


#: What runs without the extra "embedded", so it may import nothing of it.
PRODUCTION = [path for path in modules(PRODUCT) if not path.is_relative_to(ROOT / EMBEDDED)]


@pytest.mark.parametrize(
    ("paths", "requirements"),
    [
        pytest.param(PRODUCTION, BASE, id="product"),
        pytest.param(list(modules([str(EMBEDDED)])), [*WITH_EMBEDDED, "pytest"], id="embedded"),
        pytest.param(list(modules(["bench"])), [*WITH_EMBEDDED, *GROUPS["bench"]], id="bench"),
        pytest.param(
            list(modules(["tests", "tools"])), [*WITH_EMBEDDED, *GROUPS["dev"]], id="tests"
        ),
    ],
)
def test_what_is_imported_is_declared(paths: list[Path], requirements: list[str]) -> None:
    assert paths
    missing = {path.relative_to(ROOT): undeclared(path, requirements) for path in paths}
    assert {path: names for path, names in missing.items() if names} == {}
