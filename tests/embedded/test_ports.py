"""Ports on loopback: of a run of tests, and of installations."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from millrace.embedded import ports
from millrace.embedded.pytest_plugin import HOME


@pytest.mark.skipif("MILLRACE_TEST_HOME" in os.environ, reason="A home that was there.")
def test_no_installation_can_get_the_ports_of_this_run(tmp_path: Path) -> None:
    """Settings have read them long before their services listen."""
    assert not set(ports.read(HOME).values()) & set(range(20_000, 32_000))
    assert set(ports.read(tmp_path).values()) <= set(range(20_000, 32_000))


def test_a_port_that_another_took_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    before = ports.read(tmp_path)
    with socket.socket() as other:
        other.bind(("127.0.0.1", before["kafka"]))
        other.listen()
        after = ports.replace_taken(tmp_path, ["kafka", "valkey"])
    assert after["kafka"] != before["kafka"]
    assert after | {"kafka": 0} == before | {"kafka": 0}
    assert ports.read(tmp_path) == after
