"""Queue messages without a message_id are counted once, and each page of a source says so."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from running import consume, crash_at_insert, numbers

from ingestion.connectors.chunk import chunk
from ingestion.consume.loop import Slice
from ingestion.models import Batch, Source, Table
from ingestion.monitoring.source_status import source_status
from tenants.services.keys import create_key


def counted(source: Source) -> int:
    return source_status(Source.across_tenants.filter(pk=source.pk))[0].unidentified


@pytest.mark.slow
@pytest.mark.parametrize(("queue_type", "count"), [("classic", 4), ("quorum", 4), ("stream", 0)])
def test_messages_without_an_id_are_counted_where_they_can_be_doubled(
    queue_type: str, count: int, queue: Callable[..., Any], table: Table
) -> None:
    stream = queue(queue_type)
    source = stream.source(table)
    stream.send([b'{"n": 1}', b'{"n": 2}'])
    stream.send_without_id([b'{"n": 3}', b'{"n": 3}', b'{"n": -1}'])
    Slice(source.connection_id, seconds=2).run()
    stream.send_without_id([b'{"n": 4}'])
    stream.send([b'{"n": 5}'])
    Slice(source.connection_id, seconds=2).run()
    assert counted(source) == count
    assert sum(Batch.objects.values_list("unidentified", flat=True)) == count
    (status,) = source_status(Source.across_tenants.filter(pk=source.pk))
    assert (status.landed, status.quarantined) == (6, 1)


def test_a_part_of_a_chunk_has_no_more_of_them_than_messages() -> None:
    whole = chunk(0, range(10), [1] * 10, [b"{}"] * 10)
    for count, cut, parts in ((0, 4, (0, 0)), (3, 4, (3, 0)), (7, 4, (4, 3)), (10, 9, (9, 1))):
        first, rest = replace(whole, unidentified=count).split(cut)
        assert (first.unidentified, rest.unidentified) == parts
        assert first.unidentified <= first.rows.num_rows
        assert rest.unidentified <= rest.rows.num_rows


@pytest.mark.slow
@pytest.mark.parametrize("landed", [0, 7])
def test_a_crash_counts_none_twice(
    landed: int, queue: Callable[..., Any], table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = queue()
    source = stream.source(table)
    stream.send_without_id([b'{"n": %d}' % n for n in range(100)])
    crash_at_insert(source, monkeypatch, lambda rows: rows.slice(0, landed) if landed else None)
    consume(source, 3)
    assert numbers(table) == list(range(100))
    assert counted(source) == 100


@pytest.mark.slow
def test_command_api_metrics_and_page_say_how_many_there_were(
    queue: Callable[..., Any], table: Table, settings: Any
) -> None:
    stream = queue()
    source = stream.source(table)
    operator = Client()
    operator.force_login(User.objects.create_superuser("operator"))
    page = reverse("admin:ingestion_source_change", args=[source.pk])
    assert "Without message_id" in (before := operator.get(page).content.decode())
    assert "may insert it twice" not in before
    stream.send_without_id([b'{"n": 1}', b'{"n": 2}'])
    Slice(source.connection_id, seconds=2).run()

    assert "may insert it twice. Have the sender set message_id" in (
        operator.get(page).content.decode()
    )
    out = io.StringIO()
    call_command("status", source.tenant.slug, stdout=out)
    assert f"{source}: 2 messages had no message_id" in out.getvalue()
    out = io.StringIO()
    call_command("status", source.tenant.slug, "--json", stdout=out)
    assert json.loads(out.getvalue())[0]["unidentified"] == 2
    key = create_key(source.tenant, "operator", scopes=["manage"])[1]
    headers = {"Authorization": f"Bearer {key}"}
    found = Client().get(f"/api/v1/sources/{source.name}", headers=headers).json()
    assert (found["unidentified"], found["partitions"][0]["unidentified"]) == (2, 2)
    settings.MILLRACE_METRICS_TOKEN = "a-token-of-the-operators"
    headers = {"Authorization": f"Bearer {settings.MILLRACE_METRICS_TOKEN}"}
    metrics = Client().get("/metrics", headers=headers).content.decode()
    (line,) = [
        one
        for one in metrics.splitlines()
        if one.startswith("millrace_source_unidentified_messages_total{")
    ]
    assert line.endswith(" 2.0")
