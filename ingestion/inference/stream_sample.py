"""Samples of live streams and of quarantines. Nothing is acknowledged, moved or deleted."""

from __future__ import annotations

import binascii
import time
from contextlib import closing

from ingestion.connectors.registry import connect
from ingestion.errors import IngestionError
from ingestion.inference.sample import MESSAGES, Sample, of_messages
from ingestion.landing.addresses import place_of
from ingestion.models import Connection, Source, Table
from tenants.models import Tenant
from tenants.warehouse import client

#: Seconds after which no more is read.
SECONDS = 20.0


class NothingArrived(IngestionError):
    """The stream has no message to look at; the message says what to do."""


def of_source(source: Source) -> Sample:
    """The newest messages of a source's stream; raises ConnectorError, NothingArrived.

    An events endpoint keeps events only until they have landed: then those in quarantine are read.
    """
    messages = _peeked(source)
    if not messages and source.connection is None and source.table.applied:
        return of_quarantine(source.table)
    if not messages:
        msg = f"{source} has no message now. Send some, and repeat."
        raise NothingArrived(msg)
    return of_messages(messages)


def of_stream_on(connection: Connection, stream: str, tenant: Tenant) -> Sample:
    """The newest messages of a topic or queue that no source reads yet; as ``of_source``."""
    # Never saved: 0 is no source's key, so nothing is known of its positions.
    source = Source(pk=0, tenant=tenant, name="infer", connection=connection, stream=stream)
    messages = _peeked(source)
    if not messages:
        msg = f"{stream!r} has no message now. Send some, and repeat."
        raise NothingArrived(msg)
    return of_messages(messages)


def of_quarantine(table: Table) -> Sample:
    """The newest messages of a table's quarantine; raises NothingArrived and WarehouseError."""
    quarantine = place_of(table).quarantine
    sql = (
        f"SELECT base64Encode(raw) AS raw FROM {quarantine} "  # noqa: S608 - quoted
        "ORDER BY _ingested_at DESC LIMIT {limit:UInt32}"
    )
    rows = client.rows(sql, {"limit": MESSAGES})
    if not rows:
        msg = f"The quarantine of {table} is empty, and no event waits. Send some, and repeat."
        raise NothingArrived(msg)
    return of_messages(binascii.a2b_base64(row["raw"]) for row in rows)


def _peeked(source: Source) -> list[bytes]:
    """The messages, as many as come in time."""
    connector = connect(source.connection)
    messages: list[bytes] = []
    until = time.monotonic() + SECONDS
    with closing(connector), closing(connector.peek(source, MESSAGES)) as chunks:
        for chunk in chunks:
            messages += chunk.rows["raw"].to_pylist()
            if len(messages) >= MESSAGES or time.monotonic() > until:
                break
    return messages
