"""A stream that Millrace has never seen becomes a table by inference, and its rows land.

With ``SCREENSHOTS=1`` each step leaves a picture in ``tests/screenshots``.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tests.browser.pictures import shoot

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]

FILL = """
from ingestion.models import Connection
from tenants.provisioning.warehouse import provision
from tenants.services.tenants import make

tenant = make("shop")
provision(tenant.warehouse)
made = Connection.objects.create(tenant=tenant, name="kafka", kind="kafka", addresses="%s")
print(tenant.pk, made.pk)
"""
ROWS = """
from ingestion.consume.loop import Slice
from ingestion.models import Batch, Source, Table
from ingestion.landing.addresses import place_of
from tenants.warehouse import client

table = Table.across_tenants.select_related("tenant__warehouse").get()
Source.objects.create(
    tenant=table.tenant, name="visits", table=table, connection_id=%s, stream="visits"
)
while Batch.across_tenants.exclude(state="settled").exists() or not Batch.across_tenants.exists():
    Slice(table.tenant.connections.get().pk, seconds=0.5).run()
at = place_of(table)
print([len(client.rows(f"SELECT 1 FROM {name}")) for name in (at.table, at.quarantine)])
"""
EVENTS = 60


@pytest.fixture(scope="module")
def running(installation: Any) -> Any:
    installation.start("postgres", "clickhouse", "valkey", "kafka", "web", "worker-default", "beat")
    return installation


def _send(servers: str) -> None:
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic("visits", 2, 1)])["visits"].result(60)
    producer = Producer({"bootstrap.servers": servers})
    for number in range(EVENTS):
        event = {
            "id": number,
            "time": f"2026-01-02T03:04:{number:02}Z",
            "user": {"country": ["CH", "DE"][number % 2], "name": f"user {number}"},
            "items": [{"sku": "a", "price": number + 0.5}] * (number % 3),
            "day": "31.01.2026",
        }
        producer.produce("visits", json.dumps(event))
    assert producer.flush(60) == 0


def test_an_unseen_stream_becomes_a_table(running: Any, page: Page) -> None:
    servers = running.urls["KAFKA_URL"].removeprefix("kafka://")
    tenant, connection = running.python(FILL % servers).split()
    _send(servers)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)

    page.goto(f"{running.urls['WEB_URL']}/admin/ingestion/table/")
    page.get_by_role("link", name="Propose a table from a sample").click()
    page.select_option("[name=tenant]", tenant)
    page.fill("[name=name]", "visits")
    page.select_option("[name=connection]", connection)
    page.fill("[name=stream]", "visits")
    shoot(page, "infer-asked")
    page.get_by_role("button", name="Propose a table").click()
    page.get_by_text(f"Proposed from {EVENTS} messages.").wait_for()
    shoot(page, "infer-proposed")
    assert page.input_value("[name=columns-4-type]").startswith("Array(Tuple(")
    page.set_viewport_size({"width": 390, "height": 844})
    shoot(page, "infer-narrow")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.set_viewport_size({"width": 1440, "height": 900})
    page.click("button[name=_save], input[name=_save]")
    page.wait_for_url("**/admin/ingestion/table/")
    ready = page.get_by_role("cell", name="ready")
    while not ready.count():
        time.sleep(0.5)
        page.reload()
    shoot(page, "infer-saved")
    assert running.python(ROWS % connection).strip() == f"[{EVENTS}, 0]"
    assert problems == []
