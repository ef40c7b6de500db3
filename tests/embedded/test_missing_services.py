"""Which services this machine must run itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from millrace.embedded import missing_services, service_urls
from millrace.embedded.missing_services import services

ALL = dict.fromkeys(service_urls.SERVICE_OF, "set")


def test_without_any_url_all_services_run_here_in_their_order() -> None:
    assert services({}) == ("postgres", "clickhouse", "valkey", "kafka", "rabbitmq")


def test_with_all_urls_none_does() -> None:
    assert services(ALL) == ()


@pytest.mark.parametrize(
    ("url", "name"),
    [("DATABASE_URL", "postgres"), ("CLICKHOUSE_URL", "clickhouse"), ("KAFKA_URL", "kafka")],
)
def test_a_url_that_is_empty_is_not_set(url: str, name: str) -> None:
    assert services(ALL | {url: ""}) == (name,)


@pytest.mark.parametrize("url", ["CELERY_BROKER_URL", "CACHE_URL"])
def test_valkey_runs_if_one_of_its_two_urls_is_missing(url: str) -> None:
    assert services(ALL | {url: ""}) == ("valkey",)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout, with an environment that what a test reads does not outlive."""
    monkeypatch.setattr(service_urls, "project", lambda: tmp_path)
    for name in (*service_urls.SERVICE_OF, "MILLRACE_ENV_FILE"):
        monkeypatch.setenv(name, "")  # so that what is read from a file is removed afterwards
        monkeypatch.delenv(name)
    return tmp_path


def test_a_checkouts_env_file_counts_but_the_environment_comes_first(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / ".env").write_text("DATABASE_URL=of-the-file\nKAFKA_URL=of-the-file\n")
    monkeypatch.setenv("DATABASE_URL", "of-the-environment")
    variables = missing_services.environment()
    assert variables["DATABASE_URL"] == "of-the-environment"
    assert variables["KAFKA_URL"] == "of-the-file"


def test_another_file_may_be_named_and_an_empty_name_means_none(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / ".env").write_text("KAFKA_URL=of-the-checkout\n")
    (project / "other").write_text("KAFKA_URL=of-the-other\n")
    monkeypatch.setenv("MILLRACE_ENV_FILE", "")
    assert "KAFKA_URL" not in missing_services.environment()
    monkeypatch.setenv("MILLRACE_ENV_FILE", str(project / "other"))
    assert missing_services.environment()["KAFKA_URL"] == "of-the-other"
