"""``kill -9`` at a deletion, again and again, on a whole installation; and a broker's groups."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from ingestion.models import Connection, Source, Table
from tenants.lifecycle import delete
from tenants.models import Tenant

ROOT = Path(__file__).resolve().parents[3]
FILL = """
from ingestion.services.events import accept
from ingestion.consume.loop import Slice
from ingestion.models import Column, Source, Table
from ingestion.provision import provision_table
from tenants.services.tenants import make
from tenants.provisioning.warehouse import provision

for slug in ("shop", "stays"):
    tenant = make(slug)
    provision(tenant.warehouse)
    for number in range(4):
        table = Table.objects.create(tenant=tenant, name=f"t{number}", sorting_key=["id"])
        Column.objects.create(table=table, name="id", type="UInt64")
        provision_table(table)
        source = Source.objects.create(tenant=tenant, name=f"s{number}", table=table)
        accept(source, [b'{"id": 1}', b'{"id": 2}'])
Slice(None, seconds=2).run()
"""
COUNT = """
from tenants.lifecycle.delete import preview
for slug in ("shop", "stays"):
    print(sum(n for one in preview(slug).stores for n in one.before.values()))
"""


@pytest.mark.chaos
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_anywhere_it_is_finished_by_the_next_and_the_neighbour_stays(
    installation: Any,
) -> None:
    installation.start("postgres", "clickhouse", "valkey")
    before = installation.python(FILL + COUNT).split()
    command = [sys.executable, str(ROOT / "manage.py"), "tenant", "delete", "shop"]
    began = time.monotonic()
    installation.manage("tenant", "--help")
    starting = time.monotonic() - began
    killed = 0
    # On a machine that was busier a moment ago, it is done before it should have started.
    moments = [starting * share for share in (0.4, 0.6, 0.8)]
    for moment in [*moments, *(starting + more * 0.35 for more in range(8))]:
        running = subprocess.Popen(
            [*command, "--confirm", "shop"],
            env=installation.environment,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        started = time.monotonic()
        while running.poll() is None and time.monotonic() - started < moment:
            time.sleep(0.02)
        if running.poll() is None:
            running.kill()
            killed += 1
        running.wait()
    assert killed >= 2
    told = installation.manage("tenant", "delete", "shop", "--confirm", "shop").stdout
    assert "shop was deleted. Nothing is left." in told
    shop, stays = installation.python(COUNT).split()
    assert (shop, stays) == ("0", before[1])


@pytest.mark.slow
def test_the_groups_that_millrace_made_at_a_broker_go_too(
    kafka_broker: str,
    valkey: str,
    tenant_factory: Callable[..., Tenant],
    table_factory: Callable[..., Table],
    unique: Callable[[str], str],
) -> None:
    table = table_factory(tenant_factory("kafka"), [{"name": "n", "type": "UInt32"}])
    slug = table.tenant.slug
    here = Connection.objects.create(
        tenant=table.tenant, name="here", kind="kafka", addresses=kafka_broker
    )
    gone = Connection.objects.create(
        tenant=table.tenant, name="gone", kind="kafka", addresses="127.0.0.1:9"
    )
    for name, connection in (("a", here), ("b", gone)):
        Source.objects.create(
            tenant=table.tenant, name=name, connection=connection, stream="t", table=table
        )
    admin, topic = AdminClient({"bootstrap.servers": kafka_broker}), unique("topic")
    others = f"other-{slug}"
    for group in (f"millrace-{slug}-a", others):
        _commit(kafka_broker, group, topic)
    report = delete.delete(slug, slug)
    brokers = next(one for one in report.stores if one.store == "Brokers")
    assert (brokers.before, brokers.after) == ({"consumer groups": 1}, {"consumer groups": 0})
    (left,) = brokers.left
    assert left.startswith(f"{slug}.gone does not answer at 127.0.0.1:9.")
    assert left.endswith(f"--delete --group millrace-{slug}-b")
    groups = {one.group_id for one in admin.list_consumer_groups().result().valid}
    assert others in groups
    assert f"millrace-{slug}-a" not in groups
    admin.delete_consumer_groups([others])[others].result()


def _commit(servers: str, group: str, topic: str) -> None:
    from confluent_kafka.admin import NewTopic

    admin = AdminClient({"bootstrap.servers": servers})
    if topic not in admin.list_topics(timeout=10).topics:
        admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(120)
    consumer = Consumer({"bootstrap.servers": servers, "group.id": group})
    consumer.commit(offsets=[TopicPartition(topic, 0, 0)], asynchronous=False)
    consumer.close()
