"""One name for one thing: classes and modules of one name are the same idea, and say so here."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
APPS = ("platform/millrace", "tenants", "ingestion", "analytics_api")

#: Class names that may stand for several classes, and why.
CLASSES = {
    "Command": "Django finds a command by this name",
    "Chunk": "a part of a backfill's file, and messages that a connector read together",
}
#: Folders whose modules are called after an object of ours, what a user types, or a step of a loop:
#: the folder says what of it the module holds, such as its model, its page or its command.
BY_OBJECT = ("models", "admin", "api", "services", "selectors", "tasks", "commands", "steps")
#: All connectors have the same files.
SAME_FILES = (
    "ingestion/connectors/http",
    "ingestion/connectors/kafka",
    "ingestion/connectors/rabbitmq",
)
#: Module names that may stand for several modules, and why.
MODULES = {
    "__init__": "Python's",
    "__main__": "Python's",
    "apps": "Django's",
    "urls": "Django's",
    "checks": "Django's system checks of an app",
    "errors": "the tree of a package's exceptions",
    "registry": "where the parts of other packages register themselves",
    "numbers": "numbers by one set of rules: as SQL of a column, as text of a parameter",
    "times": "times by one set of rules: as SQL of a column, as text of a parameter",
    "types": "the types that a column may have, and those that a parameter may",
    "values": "values written as their types: a caller's, and those of a file's cells",
}


def _modules() -> Iterator[Path]:
    for app in APPS:
        for path in (ROOT / app).rglob("*.py"):
            if "migrations" not in path.parts:
                yield path.relative_to(ROOT)


def _repeated(named: Iterable[tuple[str, Path]]) -> dict[str, list[str]]:
    places: dict[str, list[str]] = defaultdict(list)
    for name, path in named:
        places[name].append(str(path))
    return {name: sorted(paths) for name, paths in places.items() if len(paths) > 1}


def _classes() -> Iterator[tuple[str, Path]]:
    for path in _modules():
        for node in ast.parse((ROOT / path).read_text()).body:
            if isinstance(node, ast.ClassDef):
                yield node.name, path


def _says_what_it_holds(path: Path) -> bool:
    by_object = any(part in BY_OBJECT for part in path.parts[:-1])
    return not by_object and str(path.parent) not in SAME_FILES


def test_no_two_classes_have_one_name() -> None:
    repeated = _repeated(_classes())
    assert {name: paths for name, paths in repeated.items() if name not in CLASSES} == {}
    assert set(CLASSES) <= set(repeated), "an exception that nothing needs any more"


def test_no_two_modules_have_one_name() -> None:
    repeated = _repeated((path.stem, path) for path in _modules() if _says_what_it_holds(path))
    assert {name: paths for name, paths in repeated.items() if name not in MODULES} == {}
    assert set(MODULES) <= set(repeated), "an exception that nothing needs any more"
