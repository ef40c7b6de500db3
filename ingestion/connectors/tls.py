"""Builds the SSLContext of a connection."""

from __future__ import annotations

import os
import ssl
import tempfile
from pathlib import Path

from ingestion.errors import Refused
from ingestion.models import Connection


def context(connection: Connection) -> ssl.SSLContext:
    """A context that verifies the broker's certificate and name.

    Raises Refused if the connection's certificates are not valid.
    """
    try:
        made = ssl.create_default_context(cadata=connection.ca_certificate or None)
        if connection.client_certificate:
            _load(made, connection.client_certificate, connection.client_key)
    except (ssl.SSLError, ValueError) as error:
        msg = f"The certificates of the connection {connection} can't be used: {error}."
        raise Refused(msg) from error
    return made


def _load(made: ssl.SSLContext, certificate: str, key: str) -> None:
    # The ssl module reads a key only from a file. mkstemp's file is readable by this user only, and
    # is deleted at once.
    descriptor, name = tempfile.mkstemp(prefix="millrace-", suffix=".pem")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{certificate.strip()}\n{key.strip()}\n")
        made.load_cert_chain(name, password=_no_passphrase)
    finally:
        Path(name).unlink(missing_ok=True)


def _no_passphrase() -> str:
    # Without this, OpenSSL would ask for a passphrase on the terminal.
    return ""
