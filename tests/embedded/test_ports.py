"""Ports on loopback: of a run of tests, and of installations."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from millrace.embedded import files, ports
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


def test_a_taken_port_of_a_service_that_runs_is_its_own_and_stays(tmp_path: Path) -> None:
    before = ports.read(tmp_path)
    with socket.socket() as other:
        other.bind(("127.0.0.1", before["kafka"]))
        other.listen()
        assert ports.replace_taken(tmp_path, ["valkey"]) == before


def test_ports_are_below_those_of_outgoing_connections_and_differ() -> None:
    chosen: set[int] = set()
    for _ in range(50):
        chosen.add(ports.choose(chosen))
    assert len(chosen) == 50
    assert all(20_000 <= port < 32_000 for port in chosen)


def test_a_port_that_is_taken_or_in_use_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_RANGE", range(20_000, 20_003))
    monkeypatch.setattr(ports, "is_free", lambda port: port != 20_001)
    assert {ports.choose({20_000}) for _ in range(20)} == {20_002}
    with pytest.raises(ports.NoFreePort, match="Stop the programs that listen there"):
        ports.choose({20_000, 20_002})


def test_a_port_is_taken_while_something_listens_and_free_right_after() -> None:
    port = ports.choose(set())
    with socket.create_server(("127.0.0.1", port)) as server:
        assert not ports.is_free(port)
        with socket.create_connection(("127.0.0.1", port)):
            server.accept()[0].close()  # the side that closes first leaves the port in TIME_WAIT
    assert ports.is_free(port)


def test_a_port_of_a_newer_version_is_added_and_the_others_stay(tmp_path: Path) -> None:
    first = ports.read(tmp_path)
    kept = {name: port for name, port in first.items() if name != "web"}
    files.write_json(tmp_path / ports.FILE, kept)
    completed = ports.read(tmp_path)
    assert completed | {"web": 0} == first | {"web": 0}
    assert completed["web"] not in kept.values()


def test_who_waited_for_the_lock_takes_the_ports_that_another_has_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[dict[str, int]] = []
    locked = files.locked

    @contextmanager
    def after_another(path: Path) -> Iterator[None]:
        if not chosen:
            chosen.append({})
            chosen[0] = ports.read(tmp_path)
        with locked(path):
            yield

    monkeypatch.setattr(files, "locked", after_another)
    assert ports.read(tmp_path) == chosen[0]
