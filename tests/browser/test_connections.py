"""A connection made by hand, tested by its button, mended, and tested again.

With ``SCREENSHOTS=1`` each step leaves a picture in ``tests/screenshots``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from secured_brokers.certificates import Authority

from tests.browser.pictures import shoot

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def running(installation: Any) -> Any:
    installation.start("postgres", "valkey", "kafka", "web")
    return installation


def test_a_connection_is_made_tested_mended_and_works(running: Any, page: Page) -> None:
    web = running.urls["WEB_URL"]
    kafka = running.urls["KAFKA_URL"].removeprefix("kafka://")
    broker = AdminClient({"bootstrap.servers": kafka})
    broker.create_topics([NewTopic("events", 3, 1)])["events"].result(120)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))

    page.goto(f"{web}/admin/ingestion/connection/add/")
    page.fill("#id_name", "events")
    page.select_option("#id_kind", "kafka")
    page.fill("#id_addresses", f"{kafka}, kafka.nowhere.invalid:9092")
    assert not page.locator("#id_token_url").is_visible()
    page.select_option("#id_sasl_mechanism", "OAUTHBEARER")
    page.locator("#id_token_url").wait_for(state="visible")
    page.select_option("#id_sasl_mechanism", "")
    page.fill("#id_ca_certificate", Authority("Example CA").certificate)
    shoot(page, "connection-form")
    page.click("button[name=_continue], input[name=_continue]")
    page.click("button:has-text('Test connection')")
    alert = page.locator("[role=alert]")
    alert.wait_for()
    assert "2 of 2 trials failed" in alert.inner_text()
    text = page.inner_text("#content")
    assert "does not speak TLS" in text
    assert "The name 'kafka.nowhere.invalid' can't be resolved." in text
    shoot(page, "connection-broken")
    page.evaluate("document.documentElement.classList.add('dark')")
    shoot(page, "connection-broken-dark")

    page.click("p a:has-text('shared.events')")
    page.fill("#id_addresses", kafka)
    page.fill("#id_ca_certificate", "")
    page.click("button[name=_continue], input[name=_continue]")
    page.click("button:has-text('Test connection')")
    page.get_by_text("No source reads from this connection yet").wait_for()
    page.fill("input[name=stream]", "events")
    page.click("button:has-text('Test again')")
    page.get_by_text("It has 3 partitions.").wait_for()
    assert "shared.events works." in page.locator("[role=status]").inner_text()
    shoot(page, "connection-works")
    assert problems == []
