"""URLs of the embedded services, and the folders that all of them are in."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from millrace.embedded import installation_secrets, ports, service_urls


def test_each_url_has_its_services_port_and_password(tmp_path: Path) -> None:
    urls = service_urls.urls(tmp_path)
    port, secret = ports.read(tmp_path), installation_secrets.read(tmp_path)
    for variable, name in service_urls.SERVICE_OF.items():
        parts = urlsplit(urls[variable])
        assert (parts.hostname, parts.port) == ("127.0.0.1", port[name])
        if name != "kafka":
            assert parts.password == secret[name]
    assert urls["WEB_URL"] == f"http://127.0.0.1:{port['web']}"
    assert urls["SECRET_KEY"] == secret["secret_key"]
    assert urls["MILLRACE_ENCRYPTION_KEYS"] == secret["encryption_key"]


def test_the_cache_is_not_in_the_database_of_the_tasks(tmp_path: Path) -> None:
    urls = service_urls.urls(tmp_path)
    assert urlsplit(urls["CELERY_BROKER_URL"]).path != urlsplit(urls["CACHE_URL"]).path


def test_brokers_have_addresses_and_logins_without_schemes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_HOME", str(tmp_path))
    port, secret = ports.read(tmp_path), installation_secrets.read(tmp_path)
    assert service_urls.brokers() == {
        "KAFKA_ADDRESSES": f"127.0.0.1:{port['kafka']}",
        "RABBITMQ_ADDRESSES": f"127.0.0.1:{port['rabbitmq']}",
        "RABBITMQ_USERNAME": "millrace",
        "RABBITMQ_PASSWORD": secret["rabbitmq"],
    }


def test_the_home_is_the_variables_or_in_the_checkout_or_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MILLRACE_HOME", "~/x/../y")
    assert service_urls.home() == tmp_path / "y"
    monkeypatch.setenv("MILLRACE_HOME", "")
    project = service_urls.project()
    assert project is not None
    assert service_urls.home() == project / ".millrace"
    monkeypatch.setattr(service_urls, "project", lambda: None)
    assert service_urls.home() == tmp_path / ".millrace"


def test_downloads_are_shared_by_all_homes_of_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_HOME", str(tmp_path / "a"))
    monkeypatch.setattr(service_urls, "project", lambda: tmp_path)
    assert service_urls.cache() == tmp_path / ".millrace" / "cache"


def test_a_package_that_was_installed_has_no_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "site-packages" / "millrace" / "embedded" / "service_urls.py"
    monkeypatch.setattr(service_urls, "__file__", str(module))
    assert service_urls.project() is None
    (tmp_path / "pyproject.toml").touch()
    assert service_urls.project() == tmp_path
