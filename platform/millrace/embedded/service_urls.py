"""The URLs of the embedded services. Reading them does not start anything."""

from __future__ import annotations

import os
from pathlib import Path

from millrace.embedded import installation_secrets, ports

HOST = "127.0.0.1"

#: Maps the variable of a service's URL to the embedded service used if it is not set.
SERVICE_OF = {
    "DATABASE_URL": "postgres",
    "CLICKHOUSE_URL": "clickhouse",
    "CELERY_BROKER_URL": "valkey",
    "CACHE_URL": "valkey",
    "KAFKA_URL": "kafka",
    "RABBITMQ_URL": "rabbitmq",
}


def project() -> Path | None:
    """The checkout that this package runs from; None if it was installed from a wheel."""
    root = Path(__file__).resolve().parents[3]
    return root if (root / "pyproject.toml").exists() else None


def home() -> Path:
    """The folder of all data: ``MILLRACE_HOME``, or ``.millrace`` in the checkout, or in ~."""
    chosen = os.environ.get("MILLRACE_HOME")
    if chosen:
        return Path(chosen).expanduser().resolve()
    return (project() or Path.home()) / ".millrace"


def cache() -> Path:
    """The folder of downloads, shared by all installations of this checkout."""
    return (project() or Path.home()) / ".millrace" / "cache"


def brokers() -> dict[str, str]:
    """Addresses and logins of the embedded brokers, by the variables in configuration files."""
    known = urls()
    account, _, place = known["RABBITMQ_URL"].removeprefix("amqp://").rpartition("@")
    user, _, password = account.partition(":")
    return {
        "KAFKA_ADDRESSES": known["KAFKA_URL"].removeprefix("kafka://"),
        "RABBITMQ_ADDRESSES": place.removesuffix("//"),
        "RABBITMQ_USERNAME": user,
        "RABBITMQ_PASSWORD": password,
    }


def urls(folder: Path | None = None) -> dict[str, str]:
    """URLs and keys of the installation in ``folder`` (default ``home()``), by name in settings.

    Works before anything has started: the first call chooses ports and secrets, and every process
    gets the same ones. Raises NoFreePort.
    """
    base = folder or home()
    port, secret = ports.read(base), installation_secrets.read(base)

    def url(scheme: str, service: str, user: str, path: str) -> str:
        return f"{scheme}://{user}:{secret[service]}@{HOST}:{port[service]}{path}"

    return {
        "DATABASE_URL": url("postgres", "postgres", "millrace", "/millrace"),
        "CLICKHOUSE_URL": url("http", "clickhouse", "millrace", "/"),
        "CELERY_BROKER_URL": url("redis", "valkey", "", "/0"),
        "CACHE_URL": url("redis", "valkey", "", "/1"),
        "KAFKA_URL": f"kafka://{HOST}:{port['kafka']}",
        # Two slashes: the virtual host's name is "/".
        "RABBITMQ_URL": url("amqp", "rabbitmq", "millrace", "//"),
        "WEB_URL": f"http://{HOST}:{port['web']}",
        "SECRET_KEY": secret["secret_key"],
        "MILLRACE_ENCRYPTION_KEYS": secret["encryption_key"],
    }
