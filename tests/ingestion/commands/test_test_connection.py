"""``manage.py test_connection``."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from ingestion.models import Connection, Source, Table


@pytest.fixture
def source(topic: Callable[..., Any], table: Table) -> Source:
    made: Source = topic(2).source(table)
    return made


def told(name: str, **options: Any) -> tuple[str, str]:
    """What is printed, and how it ended."""
    out = io.StringIO()
    try:
        call_command("test_connection", name, stdout=out, **options)
    except CommandError as error:
        return out.getvalue(), str(error)
    return out.getvalue(), ""


def test_a_connection_that_works(source: Source) -> None:
    said, ended = told(str(source.connection))
    assert ended == ""
    assert f"topic {source.stream} (read by {source})" in said
    assert "It has 2 partitions." in said
    assert said.endswith(f"{source.connection} works.\n")


def test_what_fails_is_said_with_how_to_mend_it(source: Source) -> None:
    said, ended = told(str(source.connection), streams=["nothing", "[bold]"])
    assert ended == f"{source.connection} does not work."
    assert "✗ topic" in said
    assert "There is no topic 'nothing'." in said
    assert "No topic can have the name '[bold]'." in said
    assert "→ Create it" in said


def test_a_program_gets_the_same_as_json(source: Source) -> None:
    said, ended = told(str(source.connection), json=True)
    found = json.loads(said)
    assert ended == ""
    assert found["good"] is True
    assert [one["step"] for one in found["addresses"][0]["findings"]] == [
        *("name", "route", "tls", "login")
    ]
    assert found["topics"][0]["subject"] == source.stream
    found = json.loads(told(str(source.connection), json=True, streams=["nothing"])[0])
    assert found["good"] is False
    assert found["topics"][0]["findings"][1]["outcome"] == "failed"


def test_settings_that_can_not_be_are_said(source: Source) -> None:
    Connection.objects.update(options={"plugin.library.paths": "x.so"})
    said, ended = told(str(source.connection))
    assert "sets plugin.library.paths, which is not allowed" in said
    assert ended


def test_a_shared_connection_goes_by_its_name_alone(source: Source) -> None:
    Connection.objects.update(tenant=None, name="common")
    assert told("common")[1] == ""
    assert told("shared.common")[1] == ""


def test_a_name_that_is_not_there_is_said_with_those_that_are(source: Source) -> None:
    ended = told("nobody.kafka")[1]
    assert "There is no connection 'nobody.kafka'" in ended
    assert str(source.connection) in ended
