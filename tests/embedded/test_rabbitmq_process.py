"""The embedded RabbitMQ: where it can run, and how it keeps apart from other nodes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from millrace.embedded import ports, rabbitmq
from millrace.embedded.rabbitmq import RabbitMQ


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The server's program; epmd is on the path."""
    server = tmp_path / "rabbitmq-server"
    server.touch()
    monkeypatch.setattr(rabbitmq, "SERVER", server)
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    return server


def test_where_it_is_installed_it_can_run_in_a_folder_with_blanks(installed: Path) -> None:
    assert RabbitMQ(Path("/srv/my folder, 100% #1")).why_unavailable() is None


@pytest.mark.parametrize("lacks", ["server", "epmd"])
def test_if_a_part_is_missing_the_reason_says_how_to_install_it(
    lacks: str, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if lacks == "server":
        installed.unlink()
    else:
        monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "apt-get install" in (RabbitMQ(Path("/srv")).why_unavailable() or "")


@pytest.mark.parametrize("mark", ["'", '"', "\\"])
def test_a_path_that_it_cannot_quote_is_refused(mark: str, installed: Path) -> None:
    reason = RabbitMQ(Path(f"/srv/a{mark}b")).why_unavailable() or ""
    assert "set MILLRACE_HOME" in reason


def test_the_node_and_its_port_mapper_are_the_installations_own(
    installed: Path, tmp_path: Path
) -> None:
    number = ports.read(tmp_path)
    epmd, broker = RabbitMQ(tmp_path).programs()
    for program in (epmd, broker):
        assert program.environment["ERL_EPMD_PORT"] == str(number["epmd"])
        assert program.environment["ERL_EPMD_ADDRESS"] == "127.0.0.1"
    environment = broker.environment
    assert environment["RABBITMQ_NODE_PORT"] == str(number["rabbitmq"])
    assert environment["RABBITMQ_DIST_PORT"] == str(number["rabbitmq_distribution"])
    assert environment["RABBITMQ_NODE_IP_ADDRESS"] == "127.0.0.1"
    # Debian's own settings would move the node.
    assert environment["RABBITMQ_CONF_ENV_FILE"] == "/dev/null"
    folders = ("HOME", "RABBITMQ_MNESIA_BASE", "RABBITMQ_LOG_BASE", "RABBITMQ_CONFIG_FILE")
    assert all(environment[name].startswith(str(tmp_path)) for name in folders)


def test_the_configuration_has_the_port_and_password_of_the_urls(tmp_path: Path) -> None:
    component = RabbitMQ(tmp_path)
    component.prepare()
    text = (component.folder / "rabbitmq.conf").read_text()
    assert f"listeners.tcp.1 = 127.0.0.1:{component.port}\n" in text
    assert f"default_pass = {component.password}\n" in text
    assert (component.folder / "rabbitmq.conf").stat().st_mode & 0o077 == 0
