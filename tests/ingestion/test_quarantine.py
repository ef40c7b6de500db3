"""What did not fit: grouped by ClickHouse, per table or source, with an example, by command."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from ingestion import quarantine
from ingestion.consume.loop import Slice
from ingestion.models import Source, Table
from ingestion.services.events import accept
from tenants.models import Tenant
from tenants.warehouse import client

EVIL = '{"n": "<script>\\u001b[31m[red]"}'


def _say(*arguments: str) -> str:
    out = io.StringIO()
    call_command("quarantine", *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def filled(table: Table) -> Table:
    """Misfits of two sources, of two reasons in the one."""
    for name, events in {
        "first": [b'{"n": -5}', b'{"s": "no n"}', EVIL.encode(), b'{"n": 300000000000}'],
        "second": [b'{"n": -7}', b'{"n": 7}'],
    }.items():
        accept(Source.objects.create(tenant=table.tenant, name=name, table=table), events)
    Slice(None, seconds=0.8).run()
    return table


def test_groups_have_counts_times_and_the_newest_as_an_example(filled: Table) -> None:
    before = timezone.now() - timedelta(minutes=1)
    found = {(one.reason, one.column): one for one in quarantine.groups(filled)}
    assert sum(one.messages for one in found.values()) == 5
    assert all(before < one.first_seen <= one.last_seen for one in found.values())
    largest = quarantine.groups(filled)[0]
    assert largest.messages == max(one.messages for one in found.values())
    assert largest.column == "n"
    assert largest.expected == "UInt32"
    assert {one.raw for one in found.values()} <= {
        '{"n": -5}', '{"n": -7}', '{"s": "no n"}', EVIL, '{"n": 300000000000}'
    }  # fmt: skip


def test_of_very_many_the_newest_are_the_examples(table: Table) -> None:
    at = f"{table.tenant.warehouse.database}.events__quarantine"
    fill = (
        f"INSERT INTO {at} (_source, _partition, _offset, _ingested_at, reason, `column`, raw) "
        "SELECT 1, 0, number, now64(3) - INTERVAL number MILLISECOND, 'r', "
        "toString(number % 3), randomPrintableASCII(1000) FROM numbers(100000)"
    )
    client.execute([fill])
    found = quarantine.groups(table)
    assert [(one.column, one.messages) for one in found] == [
        ("0", 33334),
        ("1", 33333),
        ("2", 33333),
    ]
    assert [one.offset for one in found] == [0, 1, 2]
    assert {len(one.raw) for one in found} == {1000}
    assert len({one.raw for one in found}) == 3


def test_of_one_source_only_its_own_is_told(filled: Table) -> None:
    second = Source.objects.get(name="second")
    (group,) = quarantine.groups(filled, source=second)
    assert (group.messages, group.raw, group.value) == (1, '{"n": -7}', "-7")
    assert [one.raw for one in quarantine.newest(filled, source=second)] == ['{"n": -7}']
    long_ago = quarantine.groups(filled, source=second, since=timedelta(hours=1))
    assert len(long_ago) == 1


def test_the_newest_can_be_had_of_one_reason_and_column(filled: Table) -> None:
    for group in quarantine.groups(filled):
        chosen = quarantine.newest(filled, reason=group.reason, column=group.column)
        assert len(chosen) == group.messages
        assert {(one.reason, one.column) for one in chosen} == {(group.reason, group.column)}
    assert quarantine.newest(filled, reason="nothing like it") == []
    assert quarantine.newest(filled, column="s") == []


def test_the_command_shows_the_groups_and_how_long_they_are_kept(filled: Table) -> None:
    text = _say(str(filled))
    assert "UInt32" in text
    assert '{"s": "no n"}' in text
    assert "kept for 30 days" in text
    assert '{"n": -7}' in _say(str(filled), "--source", "second")
    assert "no n" not in _say(str(filled), "--source", "second")
    found = json.loads(_say(str(filled), "--json"))
    assert sum(one["messages"] for one in found) == 5


@pytest.mark.slow
def test_what_a_terminal_would_obey_is_not_printed(filled: Table) -> None:
    raw = b'{"n": "\x1b[31m[red]"}'
    accept(Source.objects.get(name="second"), [b'{"n": 1}'])
    accept(Source.objects.get(name="first"), [raw])
    Slice(None, seconds=0.8).run()
    text = _say(str(filled))
    assert "\x1b" not in text
    assert "[red]" in text


def test_an_empty_quarantine_says_so(table: Table) -> None:
    assert "has no messages of the last 30 days" in _say(str(table))
    assert json.loads(_say(str(table), "--json")) == []


def test_mistakes_name_what_there_is(filled: Table, tenant_factory: Callable[..., Tenant]) -> None:
    with pytest.raises(CommandError, match=str(filled)):
        _say("nobody.events")
    with pytest.raises(CommandError, match="Sources that do: first, second"):
        _say(str(filled), "--source", "third")
    other: Any = tenant_factory("other")
    with pytest.raises(CommandError, match="There is no table"):
        _say(f"{other.slug}.events")
