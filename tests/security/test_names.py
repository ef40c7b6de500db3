"""Names that must not be, and the names of files that an operator was given."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command

from analytics_api.models import SavedQuery
from ingestion.models import Backfill, Column, Source, Table
from tenants.models import Tenant
from tenants.warehouse import statements
from tests.security import attacks
from tests.security.attacks import Attack
from tests.security.tally import Tally

pytestmark = pytest.mark.security

_MODELS: dict[str, tuple[Any, str]] = {
    "tenant": (Tenant, "slug"),
    "table": (Table, "name"),
    "column": (Column, "name"),
    "query": (SavedQuery, "name"),
    "source": (Source, "name"),
}


def _taken(attack: Attack) -> str:
    kind, _, name = attack.text.partition(" | ")
    if kind == "warehouse":
        try:
            return statements.own_identifier(name)
        except ValueError:
            return ""
    model, field = _MODELS[kind]
    others = [one.name for one in model._meta.fields if one.name != field]
    try:
        model(**{field: name}).clean_fields(exclude=others)
    except ValidationError:
        return ""
    return f"the name {name!r}"


def test_no_name_is_taken_that_reaches_beyond(tally: Tally) -> None:
    for attack in attacks.of("identifiers"):
        tally.note("names", attack, _taken(attack))
    assert not tally.at("names")


def test_a_validator_taken_away_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    field = Tenant._meta.get_field("slug")
    monkeypatch.setattr(field, "validators", [])
    vars(field).pop("validators", None)
    monkeypatch.setattr(type(field), "validators", [])
    own = Tally()
    for attack in attacks.of("identifiers"):
        own.note("names", attack, _taken(attack))
    assert len(own.leaks) > 10


def test_a_files_name_commands_neither_terminal_nor_page(
    table_factory: Callable[..., Table],
    tenant_factory: Callable[..., Tenant],
    tmp_path: Path,
    tally: Tally,
) -> None:
    table = table_factory(tenant_factory(), [{"name": "n", "type": "UInt32"}])
    for number, attack in enumerate(attacks.of("filenames")):
        file = tmp_path / attack.text
        file.write_text(f"n\n{number}\n")
        out, err = io.StringIO(), io.StringIO()
        call_command("backfill", str(table), str(file), stdout=out, stderr=err)
        said = out.getvalue()
        leaked = "" if said.count("\n") == 1 and said[:-1].isprintable() else "the terminal"
        if "1 rows landed" not in said or not Backfill.objects.filter(name=attack.text).exists():
            leaked = leaked or f"the load: {said!r}"
        tally.note("names", attack, leaked)
    assert not tally.at("names", "filenames")
