"""System checks: each mistake that a deployer can make, with an id and a hint.

``manage.py check --deploy`` runs those that matter in production only.
"""

from __future__ import annotations

import os
from typing import Any

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as CheckWarning

from tenants.client_address import trusted

_FERNET = (
    'python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'
)


@register(Tags.security)
def encryption_keys(**_: Any) -> list[CheckMessage]:
    """Millrace.E001, E002: secrets at rest need a key, and every key must be one."""
    keys = settings.MILLRACE_ENCRYPTION_KEYS
    if not keys:
        return [
            Error(
                "MILLRACE_ENCRYPTION_KEYS is not set, so no secret can be stored.",
                hint=f"Set it to a key made by: {_FERNET}",
                id="millrace.E001",
            )
        ]
    return [
        Error(
            f"Key {number} of MILLRACE_ENCRYPTION_KEYS is not a Fernet key.",
            hint=f"Make one by: {_FERNET}",
            id="millrace.E002",
        )
        for number, key in enumerate(keys, start=1)
        if not _is_fernet_key(key)
    ]


def _is_fernet_key(key: str) -> bool:
    try:
        Fernet(key)
    except ValueError:
        return False
    return True


@register(Tags.security)
def debug_beside_production(**_: Any) -> list[CheckMessage]:
    """Millrace.E003: DEBUG shows settings and SQL to whoever provokes an error."""
    if settings.DEBUG and not settings.EMBEDDED_SERVICES:
        return [
            Error(
                "DEBUG is on while every service is an external one.",
                hint="Unset DEBUG. It is for a developer's own machine.",
                id="millrace.E003",
            )
        ]
    return []


@register(Tags.security)
def trusted_proxies(**_: Any) -> list[CheckMessage]:
    """Millrace.E010: whose X-Forwarded-For is believed must be addresses or networks."""
    try:
        trusted()
    except ValueError as error:
        hint = "Set MILLRACE_TRUSTED_PROXIES to networks such as 10.0.0.0/8, or leave it out."
        return [Error(f"MILLRACE_TRUSTED_PROXIES: {error}", hint=hint, id="millrace.E010")]
    return []


@register(Tags.security, deploy=True)
def embedded_in_production(**_: Any) -> list[CheckMessage]:
    """Millrace.E004: embedded services are for one machine's own use."""
    return [
        Error(
            f"{name} is not set, so an embedded service is used.",
            hint=f"Set {name} to the address of a service of your own. An embedded one is for "
            "trials on one machine: it has no replicas and weaker walls between tenants.",
            id="millrace.E004",
        )
        for name in settings.EMBEDDED_SERVICES
    ]


@register(Tags.database)
def postgres_only(**_: Any) -> list[CheckMessage]:
    """Millrace.E005: leases and intents rely on Postgres."""
    if settings.DATABASES["default"].get("ENGINE") == "django.db.backends.postgresql":
        return []
    return [
        Error(
            "DATABASE_URL is not one of Postgres.",
            hint="Write it as postgres://user:password@host:5432/database.",
            id="millrace.E005",
        )
    ]


@register(Tags.security)
def lease_longer_than_slice(**_: Any) -> list[CheckMessage]:
    """Millrace.W001: a lease that runs out within a slice is taken by another worker."""
    if settings.MILLRACE_LEASE_SECONDS >= 1.5 * settings.MILLRACE_SLICE_SECONDS:
        return []
    return [
        CheckWarning(
            "MILLRACE_LEASE_SECONDS is less than 1.5 times MILLRACE_SLICE_SECONDS.",
            hint="Leases are renewed within a slice, but a slow insert may then lose one. "
            "Raise the lease or shorten the slice.",
            id="millrace.W001",
        )
    ]


@register(Tags.security, deploy=True)
def clickhouse_over_tls(**_: Any) -> list[CheckMessage]:
    """Millrace.W002: passwords of tenants' users travel to ClickHouse with every query."""
    if "CLICKHOUSE_URL" in settings.EMBEDDED_SERVICES or settings.CLICKHOUSE_URL.startswith(
        ("https://", "clickhouses://", "clickhouse+https://")
    ):
        return []
    return [
        CheckWarning(
            "CLICKHOUSE_URL does not use TLS.",
            hint="Write it as https://user:password@host:8443/ unless the network is your own.",
            id="millrace.W002",
        )
    ]


#: Threads of a web process without which a tenant's share could be all of them.
LEAST_THREADS = 2
#: Characters below which a token could be guessed.
TOKEN_LENGTH = 20


@register(Tags.security)
def metrics_token(**_: Any) -> list[CheckMessage]:
    """Millrace.W003: the metrics name every tenant and source, and anyone may try tokens."""
    if not settings.MILLRACE_METRICS_TOKEN or len(settings.MILLRACE_METRICS_TOKEN) >= TOKEN_LENGTH:
        return []
    return [
        CheckWarning(
            f"MILLRACE_METRICS_TOKEN has fewer than {TOKEN_LENGTH} characters.",
            hint='Make one by: python -c "import secrets; print(secrets.token_urlsafe(32))"',
            id="millrace.W003",
        )
    ]


@register(Tags.security)
def web_threads(**_: Any) -> list[CheckMessage]:
    """Millrace.E011, E012: a tenant's share is counted in the threads that the server has."""
    threads = settings.MILLRACE_WEB_THREADS
    if threads < LEAST_THREADS:
        return [
            Error(
                f"MILLRACE_WEB_THREADS is {threads}.",
                hint=f"Set it to {LEAST_THREADS} or more: of fewer threads one tenant's calls can "
                "hold all.",
                id="millrace.E011",
            )
        ]
    served_by = os.environ.get("GRANIAN_BLOCKING_THREADS", "")
    if not served_by or served_by == str(threads):
        return []
    return [
        Error(
            f"MILLRACE_WEB_THREADS is {threads}, and GRANIAN_BLOCKING_THREADS {served_by}.",
            hint="Set both to the same number: a tenant's share is counted in these threads.",
            id="millrace.E012",
        )
    ]
