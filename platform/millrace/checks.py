"""System checks: each finds one mistake in a deployment and reports it with an id and a hint.

Checks that matter only in production run with ``manage.py check --deploy``.
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
    """Millrace.E001, E002: encrypting secrets needs a key, and every key must be a Fernet key."""
    keys = settings.MILLRACE_ENCRYPTION_KEYS
    if not keys:
        return [
            Error(
                "MILLRACE_ENCRYPTION_KEYS is not set, so no secret can be stored.",
                hint=f"Set it to a key that this command prints: {_FERNET}",
                id="millrace.E001",
            )
        ]
    return [
        Error(
            f"Key {number} of MILLRACE_ENCRYPTION_KEYS is not a Fernet key.",
            hint=f"Use a key that this command prints: {_FERNET}",
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
    """Millrace.E003: with DEBUG on, anyone who provokes an error sees settings and SQL."""
    if settings.DEBUG and not settings.EMBEDDED_SERVICES:
        return [
            Error(
                "DEBUG is on, although every service is external.",
                hint="Unset DEBUG. It is meant for a developer's own machine.",
                id="millrace.E003",
            )
        ]
    return []


@register(Tags.security)
def trusted_proxies(**_: Any) -> list[CheckMessage]:
    """Millrace.E010: MILLRACE_TRUSTED_PROXIES must list addresses or networks."""
    try:
        trusted()
    except ValueError as error:
        hint = "Set MILLRACE_TRUSTED_PROXIES to networks such as 10.0.0.0/8, or leave it out."
        return [Error(f"MILLRACE_TRUSTED_PROXIES: {error}", hint=hint, id="millrace.E010")]
    return []


@register(Tags.security, deploy=True)
def embedded_in_production(**_: Any) -> list[CheckMessage]:
    """Millrace.E004: embedded services are only for use on one machine."""
    return [
        Error(
            f"{name} is not set, so an embedded service is used.",
            hint=f"Set {name} to the URL of a service of your own. Embedded services are for "
            "trials on one machine: they have no replicas and weaker walls between tenants.",
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
            "DATABASE_URL is not a Postgres URL.",
            hint="Write it as postgres://user:password@host:5432/database.",
            id="millrace.E005",
        )
    ]


@register(Tags.security)
def lease_longer_than_slice(**_: Any) -> list[CheckMessage]:
    """Millrace.W001: if a lease expires during a slice, another worker takes the partition."""
    if settings.MILLRACE_LEASE_SECONDS >= 1.5 * settings.MILLRACE_SLICE_SECONDS:
        return []
    return [
        CheckWarning(
            "MILLRACE_LEASE_SECONDS is less than 1.5 times MILLRACE_SLICE_SECONDS.",
            hint="Leases are renewed during a slice, but a lease this short can expire during a "
            "slow insert. Raise MILLRACE_LEASE_SECONDS or lower MILLRACE_SLICE_SECONDS.",
            id="millrace.W001",
        )
    ]


@register(Tags.security, deploy=True)
def clickhouse_over_tls(**_: Any) -> list[CheckMessage]:
    """Millrace.W002: every query sends a tenant user's password to ClickHouse."""
    if "CLICKHOUSE_URL" in settings.EMBEDDED_SERVICES or settings.CLICKHOUSE_URL.startswith(
        ("https://", "clickhouses://", "clickhouse+https://")
    ):
        return []
    return [
        CheckWarning(
            "CLICKHOUSE_URL does not use TLS.",
            hint="Write it as https://user:password@host:8443/, unless the network is private.",
            id="millrace.W002",
        )
    ]


#: The fewest threads of a web process. With one thread, a tenant's share would be all of them.
LEAST_THREADS = 2
#: The fewest characters of a token. Shorter tokens could be guessed.
TOKEN_LENGTH = 20


@register(Tags.security)
def metrics_token(**_: Any) -> list[CheckMessage]:
    """Millrace.W003: metrics name every tenant and source, and anyone may try tokens."""
    if not settings.MILLRACE_METRICS_TOKEN or len(settings.MILLRACE_METRICS_TOKEN) >= TOKEN_LENGTH:
        return []
    return [
        CheckWarning(
            f"MILLRACE_METRICS_TOKEN has fewer than {TOKEN_LENGTH} characters.",
            hint='Generate one with: python -c "import secrets; print(secrets.token_urlsafe(32))"',
            id="millrace.W003",
        )
    ]


@register(Tags.security)
def web_threads(**_: Any) -> list[CheckMessage]:
    """Millrace.E011, E012: a tenant's share is counted in threads, so the number must be right."""
    threads = settings.MILLRACE_WEB_THREADS
    if threads < LEAST_THREADS:
        return [
            Error(
                f"MILLRACE_WEB_THREADS is {threads}.",
                hint=f"Set it to {LEAST_THREADS} or more. With fewer threads, the calls of one "
                "tenant can occupy all of them.",
                id="millrace.E011",
            )
        ]
    served_by = os.environ.get("GRANIAN_BLOCKING_THREADS", "")
    if not served_by or served_by == str(threads):
        return []
    return [
        Error(
            f"MILLRACE_WEB_THREADS is {threads}, but GRANIAN_BLOCKING_THREADS is {served_by}.",
            hint="Set both to the same number. A tenant's share is counted in these threads.",
            id="millrace.E012",
        )
    ]
