"""Parses addresses as users write them."""

from __future__ import annotations

from urllib.parse import urlsplit

from ingestion.connectors.connection_trial import StepFailed


def split(text: str, default_port: int) -> tuple[str, int]:
    """Host and port of ``host:port``; raises StepFailed."""
    wrong = f"{text!r} is not an address."
    try:
        # A scheme such as SASL_SSL has an underscore, which urlsplit takes for no scheme.
        parts = urlsplit(f"//{text.rpartition('://')[2]}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise StepFailed(wrong, "Write host:port, with a port from 1 to 65535.") from error
    if not host or port == 0:
        raise StepFailed(wrong, "Write host:port; separate several addresses by commas.")
    return host, port or default_port


def listed(addresses: str) -> list[str]:
    """Each address of a connection, without duplicates."""
    return list(dict.fromkeys(text.strip() for text in addresses.split(",") if text.strip()))
