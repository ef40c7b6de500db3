"""All that the demo's files do, made by hand in a browser, from an empty installation to rows.

With ``SCREENSHOTS=1`` each step leaves a picture in ``tests/screenshots``.
"""

from __future__ import annotations

import itertools
import json
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import kombu
import pytest
import urllib3
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from millrace.embedded import installation_secrets
from millrace.embedded.rabbitmq import RabbitMQ
from tests.browser.pictures import shoot
from tests.conftest import temporary_installation

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
SQL = "SELECT country, count() AS orders, sum(total) AS total FROM orders \
WHERE items >= {least:UInt16} GROUP BY country ORDER BY country"


class Admin:
    """The admin as an operator drives it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self._numbers = itertools.count(1)
        self.problems: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("response", self._note)

    def _note(self, response: Any) -> None:
        if response.status >= 400:
            self.problems.append(f"{response.status} {response.url}")

    def shoot(self, name: str) -> None:
        shoot(self.page, f"{next(self._numbers):02}-{name}")
        width = self.page.evaluate("document.documentElement.scrollWidth")
        assert width <= 1440, f"{name} is {width} pixels wide"

    def open(self, path: str) -> None:
        self.page.goto(f"{self.url}/admin/{path}")

    def log_in(self, password: str) -> None:
        self.open("")
        self.page.fill("#id_username", "admin")
        self.page.fill("#id_password", password)
        self.shoot("login")
        self.page.click("button[type=submit]")
        self.page.wait_for_url(f"{self.url}/admin/")

    def choose(self, field: str, text: str) -> None:
        """Pick from a field that searches as one types."""
        self.page.click(f"#id_{field} + .select2 .select2-selection")
        self.page.fill(".select2-container--open .select2-search__field", text)
        option = self.page.locator(".select2-results__option[role=option]", has_text=text)
        option.first.click()

    def save(self) -> None:
        self.page.click("button[name=_save], input[name=_save]")
        self.page.wait_for_load_state()

    def said(self, text: str) -> None:
        self.page.get_by_text(text, exact=False).first.wait_for(timeout=120_000)

    def await_text(self, path: str, pattern: str, seconds: float = 120) -> None:
        """Look at a page until it shows ``pattern``."""
        deadline = time.monotonic() + seconds
        while True:
            self.open(path)
            text = self.page.inner_text("body")
            if re.search(pattern, text, re.IGNORECASE):
                return
            assert time.monotonic() < deadline, f"{pattern!r} is not in:\n{text}"
            time.sleep(0.5)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, installed: Path) -> Iterator[Any]:
    """An installation of its own, because its workers would consume what other files make."""
    with temporary_installation(tmp_path_factory, installed) as installation:
        _start(installation)
        yield installation


def _start(installation: Any) -> None:
    names = ["postgres", "clickhouse", "valkey", "kafka"]
    if RabbitMQ(installation.home).why_unavailable() is None:
        names.append("rabbitmq")
    installation.start(*names, "web", "worker-default", "worker-ingest", "beat")


@pytest.fixture
def operator(running: Any, browser: Browser) -> Iterator[Admin]:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(120_000)
    made = Admin(page, running.urls["WEB_URL"])
    made.log_in(installation_secrets.read(running.home)["admin"])
    yield made
    page.close()


def call(url: str, key: str, body: bytes | None = None) -> Any:
    answer = urllib3.request(
        "POST" if body else "GET", url, body=body, headers={"Authorization": f"Bearer {key}"}
    )
    return answer.json()


def send_to_kafka(servers: str) -> None:
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic("orders", 2, 1)])["orders"].result(15)
    producer = Producer({"bootstrap.servers": servers})
    for number in range(100):
        order = {"id": number, "customer": {"country": "DE" if number % 2 else "FR"}, "total": 1.5}
        producer.produce("orders", json.dumps(order))
    producer.produce("orders", b'{"id": -1, "customer": {"country": "DE"}, "total": 1}')
    producer.produce("orders", b"not JSON")
    assert producer.flush(15) == 0


def send_to_rabbitmq(url: str) -> None:
    with kombu.Connection(url) as link, link.Producer(serializer="json") as producer:
        queue = kombu.Queue("orders", durable=True)
        for number in range(40):
            order = {"id": 1000 + number, "customer": {"country": "PL"}, "total": 2.25, "items": 3}
            producer.publish(
                order, routing_key="orders", declare=[queue], message_id=str(uuid.uuid4())
            )


def add_connection(operator: Admin, name: str, kind: str, url: str) -> None:
    parts = urlsplit(url)
    operator.open("ingestion/connection/add/")
    operator.choose("tenant", "The Shop")
    operator.page.fill("#id_name", name)
    operator.page.select_option("#id_kind", kind)
    operator.page.fill("#id_addresses", f"{parts.hostname}:{parts.port}")
    if parts.username:
        operator.page.fill("#id_username", parts.username)
        operator.page.fill("#id_password", parts.password or "")
    operator.shoot(f"connection-{name}")
    operator.save()
    operator.said("was added")


def add_table(operator: Admin) -> None:
    page = operator.page
    operator.open("ingestion/table/add/")
    operator.choose("tenant", "The Shop")
    page.fill("#id_name", "orders")
    page.fill("#id_sorting_key", "country, id")
    columns = [
        ("id", "UInt64", "", True, ""),
        ("country", "LowCardinality(String)", "customer.country", True, ""),
        ("total", "Decimal(12, 2)", "", True, ""),
        ("items", "UInt16", "", False, "1"),
    ]
    for number, (name, kind, path, required, default) in enumerate(columns):
        if number:
            page.click(".add-row a, a.add-row, button.add-row")
        page.fill(f"#id_columns-{number}-name", name)
        page.fill(f"#id_columns-{number}-type", kind)
        page.fill(f"#id_columns-{number}-path", path)
        page.set_checked(f"#id_columns-{number}-required", required)
        if default:
            page.fill(f"#id_columns-{number}-default", default)
    # A mistake first: it is told at its field, and nothing is made.
    page.fill("#id_columns-3-type", "UInt17")
    operator.save()
    operator.said("UInt17")
    operator.shoot("table-mistake")
    page.fill("#id_columns-3-type", "UInt16")
    operator.shoot("table")
    operator.save()
    operator.said("was added")
    operator.await_text("ingestion/table/", r"orders[\s\S]*Ready")


def add_source(operator: Admin, name: str, connection: str, stream: str) -> None:
    operator.open("ingestion/source/add/")
    operator.choose("tenant", "The Shop")
    operator.page.fill("#id_name", name)
    if connection:
        operator.choose("connection", connection)
        operator.page.fill("#id_stream", stream)
    operator.choose("table", "orders")
    operator.shoot(f"source-{name}")
    operator.save()
    operator.said("was added")


def add_key(operator: Admin) -> str:
    operator.open("tenants/apikey/add/")
    operator.choose("tenant", "The Shop")
    operator.page.fill("#id_name", "shop's web site")
    operator.save()
    operator.said("the only time that the key")
    operator.shoot("key-shown-once")
    found = re.search(r"mr_\w{10}_\w{32}_\w{6}", operator.page.content())
    assert found is not None
    operator.open("tenants/apikey/")
    assert found[0] not in operator.page.content()
    return found[0]


def add_tenant(operator: Admin) -> None:
    operator.open("tenants/tenant/add/")
    operator.page.fill("#id_name", "The Shop")
    operator.page.fill("#id_slug", "shop")
    operator.shoot("tenant")
    operator.save()
    operator.said("was added")
    operator.await_text("tenants/tenant/", r"shop[\s\S]*Ready")


def add_query(operator: Admin) -> None:
    page = operator.page
    operator.open("analytics_api/savedquery/add/")
    operator.choose("tenant", "The Shop")
    page.fill("#id_name", "by_country")
    page.fill("#id_sql", "SELECT * FROM system.users")
    page.click("text=Save and publish")
    operator.said("system.users")
    operator.shoot("query-refused")
    page.fill("#id_sql", SQL)
    operator.shoot("query")
    page.click("text=Save and publish")
    operator.said("will run this SQL from now on")
    operator.shoot("query-publish")
    page.click("button[name=confirmed]")
    operator.said("Version 1 was published")


def test_everything_made_by_hand_ends_in_rows_and_an_endpoint(
    running: Any, operator: Admin
) -> None:
    urls = running.urls
    has_rabbitmq = RabbitMQ(running.home).why_unavailable() is None
    operator.shoot("overview-empty")
    operator.open("ingestion/source/")
    operator.shoot("sources-empty")
    add_tenant(operator)
    add_connection(operator, "kafka", "kafka", urls["KAFKA_URL"])
    add_table(operator)
    send_to_kafka(urls["KAFKA_URL"].removeprefix("kafka://"))
    add_source(operator, "orders-kafka", "kafka", "orders")
    if has_rabbitmq:
        add_connection(operator, "rabbitmq", "rabbitmq", urls["RABBITMQ_URL"])
        assert installation_secrets.read(running.home)["rabbitmq"] not in operator.page.content()
        send_to_rabbitmq(urls["RABBITMQ_URL"])
        add_source(operator, "orders-rabbitmq", "rabbitmq", "orders")
    add_source(operator, "orders-http", "", "")
    add_query(operator)
    key = add_key(operator)

    event = b'{"id": 5000, "customer": {"country": "US"}, "total": 9.99}'
    taken = call(f"{urls['WEB_URL']}/api/v1/events/orders-http?wait=true", key, event)
    assert taken == {
        "accepted": 1,
        "first_offset": 0,
        "last_offset": 0,
        "queryable": True,
        "landed": 1,
        "quarantined": 0,
        "filtered": 0,
        "quarantine": [],
    }
    expected = [
        {"country": "DE", "orders": 50, "total": 75},
        {"country": "FR", "orders": 50, "total": 75},
        {"country": "US", "orders": 1, "total": 9.99},
    ]
    if has_rabbitmq:
        expected.insert(2, {"country": "PL", "orders": 40, "total": 90})
    endpoint = f"{urls['WEB_URL']}/api/v1/queries/by_country?least=1"
    deadline = time.monotonic() + 120
    while (found := call(endpoint, key)["data"]) != expected and time.monotonic() < deadline:
        time.sleep(0.5)
    assert found == expected

    _pages_tell_what_happened(operator)
    _pausing_stops_within_a_slice(operator)
    _what_was_clicked_can_be_exported(running)
    assert operator.problems == []


def _pages_tell_what_happened(operator: Admin) -> None:
    page = operator.page
    operator.await_text("ingestion/source/", r"orders-kafka[\s\S]*\b100\b[\s\S]*\b2\b")
    operator.shoot("sources")
    operator.open("")
    operator.shoot("overview")
    operator.open("ingestion/table/")
    page.click("#result_list a:has-text('orders')")
    operator.shoot("table-made")
    page.click("#content a:has-text('quarantine')")
    operator.said("not JSON")
    operator.shoot("quarantine")
    operator.open("analytics_api/savedquery/")
    page.click("#result_list a:has-text('by_country')")
    operator.said("curl")
    operator.shoot("query-published")


def _pausing_stops_within_a_slice(operator: Admin) -> None:
    page = operator.page
    operator.open("ingestion/source/")
    page.click("a:has-text('orders-kafka')")
    page.click("button:has-text('Pause')")
    operator.said("was paused")
    operator.await_text("ingestion/source/", r"orders-kafka[\s\S]*Paused")
    page.click("a:has-text('orders-kafka')")
    operator.shoot("source-paused")
    page.click("button:has-text('Resume')")
    operator.said("continues where it was paused")


def _what_was_clicked_can_be_exported(running: Any) -> None:
    written = running.manage("export", "shop").stdout
    assert "by_country" in written
    assert installation_secrets.read(running.home)["rabbitmq"] not in written
