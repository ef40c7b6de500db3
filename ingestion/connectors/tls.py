"""What TLS means for a connection, as Python's ssl module has it."""

from __future__ import annotations

import os
import ssl
import tempfile
from pathlib import Path

from ingestion.errors import Refused
from ingestion.models import Connection


def context(connection: Connection) -> ssl.SSLContext:
    """Verifies the broker's certificate and name; raises Refused for certificates that are none."""
    try:
        made = ssl.create_default_context(cadata=connection.ca_certificate or None)
        if connection.client_certificate:
            _load(made, connection.client_certificate, connection.client_key)
    except (ssl.SSLError, ValueError) as error:
        msg = f"The certificates of the connection {connection} can't be used: {error}."
        raise Refused(msg) from error
    return made


def _load(made: ssl.SSLContext, certificate: str, key: str) -> None:
    # The ssl module reads a key from a file alone: ours is readable by us alone, for that moment.
    descriptor, name = tempfile.mkstemp(prefix="millrace-", suffix=".pem")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{certificate.strip()}\n{key.strip()}\n")
        made.load_cert_chain(name, password=_no_passphrase)
    finally:
        Path(name).unlink(missing_ok=True)


def _no_passphrase() -> str:
    # Without it, OpenSSL would ask at the terminal.
    return ""
