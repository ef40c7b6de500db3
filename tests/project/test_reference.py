"""The reference names all that there is, and says what code says."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import get_commands, load_command_class
from django.urls import get_resolver
from rest_framework import exceptions

from ingestion.ddl.types import INTEGERS, NAMES
from millrace.metrics.catalogue import METRICS
from tenants.rest.codes import CODES
from tenants.rest.problem import _KNOWN
from tests.documentation import ROOT
from tools.reference import api, commands, yaml_files
from tools.reference.pages import GENERATED, renewed

PAGES = ROOT / "docs" / "reference"
SETTINGS = ROOT / "platform" / "millrace" / "settings.py"
OURS = ("platform/millrace", "tenants", "ingestion", "analytics_api")
#: Errors that DRF itself raises at our addresses, with codes of its own.
OF_DRF = {exceptions.MethodNotAllowed: 405}


def page(name: str) -> str:
    return (PAGES / name).read_text()


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.name)
def test_a_generated_page_says_what_code_says(path: Path) -> None:
    assert path.read_text() == renewed(path), "Run `make reference`."


def test_every_setting_has_an_entry() -> None:
    names = set(re.findall(r'env(?:\.\w+)?\(\s*"([A-Z_]+)"', SETTINGS.read_text()))
    assert len(names) > 20
    rows = [line.split("|")[1] for line in page("settings.md").splitlines() if "|" in line]
    assert sorted(name for name in names if not any(f"`{name}`" in row for row in rows)) == []


def test_every_system_check_has_an_entry() -> None:
    sources = "".join(path.read_text() for path in _sources())
    ids = set(re.findall(r'id="(millrace\.[EW]\d+)"', sources))
    assert len(ids) >= 12
    assert sorted(one for one in ids if f"| `{one}` |" not in page("settings.md")) == []


def test_every_command_has_an_entry() -> None:
    names = commands.names()
    assert set(names) >= {"apply", "export", "demo", "backfill", "status", "api_key"}
    text = page("commands.md")
    assert [name for name in names if f"\n## {name}\n" not in text] == []
    assert [name for name in names if f"| `python manage.py {name}" not in text] == []


def test_every_argument_of_a_command_is_explained() -> None:
    found = [
        f"{name} {action.dest}"
        for name in commands.names()
        for action in commands.arguments(
            load_command_class(get_commands()[name], name).create_parser("manage.py", name)
        )
        if not action.help
    ]
    assert found == []


def test_every_endpoint_has_an_entry() -> None:
    addresses = {
        re.sub(r"<\w+:(\w+)>", r"<\1>", route)
        for route in _routes(get_resolver().url_patterns)
        if route.startswith("api/v1/") and not route.endswith(".json")
    }
    assert "api/v1/queries/<name>" in addresses
    text = page("api.md")
    assert sorted(one for one in addresses if f" /{one}`\n" not in text) == []


def test_every_operation_of_the_description_is_among_djangos_addresses() -> None:
    known = {f"/{re.sub(r'<[^>]+>', '<>', one)}" for one in _routes(get_resolver().url_patterns)}
    described = {re.sub(r"{[^}]+}", "<>", path) for path in api.description()["paths"]}
    assert described - known == set()


def test_every_type_of_column_has_an_entry() -> None:
    known = set(re.findall(r"[A-Za-z]+\d*", page("column-types.md")))
    # Integers are named by the first and the last of a row.
    assert sorted(one for one in NAMES - known if one not in INTEGERS) == []


def test_every_metric_has_an_entry() -> None:
    text = page("metrics.md")
    assert [one.name for one in METRICS if f"| `{one.name}`" not in text] == []


def test_every_member_of_a_configuration_file_is_explained() -> None:
    assert list(_unexplained(yaml_files.schema(), "")) == []


def test_every_code_of_an_error_has_an_entry_with_its_statuses() -> None:
    listed = {one.code: set(one.statuses) for one in CODES}
    assert len(listed) == len(CODES), "A code stands there twice."
    raised = _raised()
    assert len(raised) > 40
    assert set(raised) - set(listed) == set(), "These codes are not in tenants/rest/codes.py."
    assert set(listed) - set(raised) == set(), "Nothing raises these codes any more."
    wrong = {code: found for code, found in raised.items() if found - listed[code]}
    assert wrong == {}, "These statuses are not in tenants/rest/codes.py."


def _routes(patterns: list[object], prefix: str = "") -> list[str]:
    found = []
    for one in patterns:
        route = prefix + str(one.pattern)  # type: ignore[attr-defined]
        inner = getattr(one, "url_patterns", None)
        found += _routes(inner, route) if inner else [route]
    return found


def _unexplained(part: Any, path: str) -> Iterator[str]:
    """Members without a description, wherever they stand."""
    for name, one in part.get("properties", {}).items():
        if not yaml_files.meaning(one):
            yield f"{path}{name}"
        yield from _unexplained(one, f"{path}{name}.")
    for name, one in part.get("$defs", {}).items():
        yield from _unexplained(one, f"{name}.")
    of_each = part.get("additionalProperties")
    if isinstance(of_each, dict):
        yield from _unexplained(of_each, f"{path}<name>.")


def _raised() -> dict[str, set[int]]:
    """Codes that code gives to problems, with the statuses that stand beside them."""
    found: dict[str, set[int]] = defaultdict(set)
    for status, code, _ in _KNOWN.values():
        found[code].add(status)
    for error, status in OF_DRF.items():
        found[error.default_code].add(status)
    for call in _calls():
        codes, statuses = _of_call(getattr(call.func, "id", ""), call.args)
        for code in codes:
            found[code] |= statuses
    return found


def _of_call(name: str, arguments: list[ast.expr]) -> tuple[list[str], set[int]]:
    """The codes that a call raises, and their statuses as far as they stand there."""
    if name == "Problem" and len(arguments) > 2 and _of_the_api(arguments[0]):
        return _codes(arguments[1]), _statuses(arguments[0])
    if name == "later":
        return _codes(arguments[0]), {503}
    if name == "TokenRefused":
        return _codes(arguments[0]), {401}
    if name in {"AuthenticationFailed", "NotAuthenticated"} and len(arguments) > 1:
        return _codes(arguments[1]), {401}
    return [], set()


def _calls() -> Iterator[ast.Call]:
    for path in _sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                yield node


def _sources() -> Iterator[Path]:
    for folder in OURS:
        yield from sorted((ROOT / folder).rglob("*.py"))


def _of_the_api(status: ast.expr) -> bool:
    """Tables have problems of their own: their first argument names a column, or none."""
    if isinstance(status, ast.Constant):
        return isinstance(status.value, int)
    return getattr(status, "id", "") == "status"


def _statuses(status: ast.expr) -> set[int]:
    return {status.value} if isinstance(status, ast.Constant) else set()


def _codes(code: ast.expr) -> list[str]:
    if isinstance(code, ast.Constant):
        return [code.value]
    # The one that is put together, in ``refuse_unknown``, ends in one of two words.
    is_unknown = isinstance(code, ast.JoinedStr)
    return ["unknown_member", "unknown_parameter"] if is_unknown else []
